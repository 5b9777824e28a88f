"""The marks: ratios of one run that Satchel is held to, beside what it reached."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.plan import Cell
from benchmarks.sample import Figures

Metric = Callable[[Figures], float]
Measured = dict[Cell, Figures]

OPERATIONS = ("get", "list", "create", "change")
_MANY, _ALONE = 32, 1
_SATCHEL, _TUTORIAL, _USUAL = "satchel", "flask_tutorial", "fastapi_usual"
_FASTIFY, _PROMISES, _BARE = "fastify", "fastify_promises", "raw_asgi"


@dataclass(frozen=True)
class Mark:
    """`wanted`: of each of OPERATIONS, a ratio at least that much, or `at_most`."""

    title: str
    metric: Metric
    above: str
    below: str
    wanted: tuple[float, float, float, float]
    at_most: bool = False
    connections: int = _MANY

    def reached(self, measured: Measured, operation: str) -> float | None:
        above, below = (
            measured.get(Cell(name, operation, self.connections, workers=1))
            for name in (self.above, self.below)
        )
        if above is None or below is None:
            return None
        return self.metric(above) / self.metric(below)

    def wanted_of(self, operation: str) -> float:
        return self.wanted[OPERATIONS.index(operation)]

    def holds(self, ratio: float, operation: str) -> bool:
        wanted = self.wanted_of(operation)
        return ratio <= wanted if self.at_most else ratio >= wanted


def _server(figures: Figures) -> float:
    return figures.server_us


def _sum(figures: Figures) -> float:
    return figures.server_us + figures.postgres_us


def _rate(figures: Figures) -> float:
    return figures.requests_per_second


def _median(figures: Figures) -> float:
    return figures.p50_ms


def _p99(figures: Figures) -> float:
    return figures.p99_ms


MARKS = (
    Mark(
        "throughput at 32: Satchel / bare Fastify",
        _rate,
        _SATCHEL,
        _FASTIFY,
        (1.0, 0.9, 0.75, 0.75),
    ),
    Mark(
        "throughput at 32: Satchel / Fastify, same promises",
        _rate,
        _SATCHEL,
        _PROMISES,
        (1.4, 1.1, 1.2, 1.2),
    ),
    Mark(
        "server + PostgreSQL CPU at 32: bare Fastify / Satchel",
        _sum,
        _FASTIFY,
        _SATCHEL,
        (1.3, 0.8, 1.0, 1.0),
    ),
    Mark(
        "server CPU at 32: tutorial / Satchel",
        _server,
        _TUTORIAL,
        _SATCHEL,
        (11, 10, 12, 12),
    ),
    Mark(
        "server CPU at 32: usual async port / Satchel",
        _server,
        _USUAL,
        _SATCHEL,
        (8, 7, 9, 8),
    ),
    Mark(
        "server CPU at 32: Satchel / bare ASGI + asyncpg",
        _server,
        _SATCHEL,
        _BARE,
        (1.2, 1.9, 2.0, 1.6),
        at_most=True,
    ),
    Mark(
        "a lone client's median: Satchel / bare ASGI + asyncpg",
        _median,
        _SATCHEL,
        _BARE,
        (1.4, 1.5, 1.8, 1.5),
        at_most=True,
        connections=_ALONE,
    ),
    Mark(
        "p99 at 32: Satchel / bare Fastify",
        _p99,
        _SATCHEL,
        _FASTIFY,
        (1.5, 1.5, 1.5, 1.5),
        at_most=True,
    ),
)
# Whoever the marks compare.
COMPARED = sorted({name for mark in MARKS for name in (mark.above, mark.below)})
