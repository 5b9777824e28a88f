"""The marks: ratios of one run that Satchel is held to, beside what it reached."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.plan import Cell
from benchmarks.sample import Figures

Metric = Callable[[Figures], float]
Measured = dict[Cell, Figures]

_SATCHEL, _TUTORIAL, _USUAL = "satchel", "flask_tutorial", "fastapi_usual"


@dataclass(frozen=True)
class Mark:
    """`wanted` by operation; a ratio at least that much, or `at_most`."""

    title: str
    metric: Metric
    above: str
    below: str
    wanted: dict[str, float]
    at_most: bool = False

    def reached(self, measured: Measured, operation: str) -> float | None:
        figures = [
            measured.get(Cell(name, operation, connections=32, workers=1))
            for name in (self.above, self.below)
        ]
        if figures[0] is None or figures[1] is None:
            return None
        return self.metric(figures[0]) / self.metric(figures[1])

    def holds(self, ratio: float, operation: str) -> bool:
        wanted = self.wanted[operation]
        return ratio <= wanted if self.at_most else ratio >= wanted


def _server(figures: Figures) -> float:
    return figures.server_us


def _sum(figures: Figures) -> float:
    return figures.server_us + figures.postgres_us


def _rate(figures: Figures) -> float:
    return figures.requests_per_second


def _p99(figures: Figures) -> float:
    return figures.p99_ms


MARKS = (
    Mark(
        "server CPU: tutorial / Satchel",
        _server,
        _TUTORIAL,
        _SATCHEL,
        {"get": 4, "list": 3.5, "create": 2.5, "change": 2.5},
    ),
    Mark(
        "server CPU: usual async port / Satchel",
        _server,
        _USUAL,
        _SATCHEL,
        {"get": 4, "list": 2.5, "create": 2, "change": 2},
    ),
    Mark(
        "server + PostgreSQL CPU: tutorial / Satchel",
        _sum,
        _TUTORIAL,
        _SATCHEL,
        {"get": 3, "list": 2.5, "create": 2, "change": 2},
    ),
    Mark(
        "throughput: Satchel / Fastify + pg",
        _rate,
        _SATCHEL,
        "fastify",
        {"get": 0.4, "list": 0.7, "create": 0.2, "change": 0.2},
    ),
    Mark(
        "server CPU: Satchel / FastAPI constant",
        _server,
        _SATCHEL,
        "fastapi_constant",
        {"get": 2},
        at_most=True,
    ),
    Mark(
        "p99: Satchel / tutorial",
        _p99,
        _SATCHEL,
        _TUTORIAL,
        {"get": 0.5, "list": 0.5, "create": 0.5, "change": 0.5},
        at_most=True,
    ),
)
