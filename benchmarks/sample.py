"""One load on one contestant, and what it cost."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import measure, wrk
from benchmarks.answers import WrongAnswerError
from benchmarks.plan import Cell
from benchmarks.postgres import Postgres
from benchmarks.server import Server

_LONGEST_SECONDS = 30


@dataclass(frozen=True)
class Figures:
    """One cell, or the medians of its rounds; microseconds are those of one request."""

    server_us: float
    postgres_us: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    statements: float
    bytes: float
    broken: float


@dataclass(frozen=True)
class Look:
    """What had been used at an instant: CPU seconds by process, and statements."""

    instant: float
    server: dict[int, float]
    postgres: dict[int, float]
    statements: int


def take_sample(
    server: Server, postgres: Postgres, cell: Cell, targets: Path, seconds: float
) -> Figures:
    """As long as `seconds`, or longer where nothing is answered in that time.

    Errors: WrongAnswerError, where not all requests succeeded.
    """
    accounts = postgres.count_accounts(cell.contestant) if cell.operation == "create" else 0
    seen, first, last = _put_load(server, postgres, cell, targets, seconds)
    while not seen.requests and seconds < _LONGEST_SECONDS:
        seconds *= 4
        seen, first, last = _put_load(server, postgres, cell, targets, seconds)
    if seen.refused or not seen.requests:
        raise WrongAnswerError(f"{seen.refused} of {seen.requests} requests were refused")
    if cell.operation == "create":
        stored = postgres.count_accounts(cell.contestant) - accounts
        if stored < seen.requests:
            raise WrongAnswerError(f"{seen.requests} created, but {stored} stored")
    rate = seen.requests / seen.seconds
    # By rates and not by counts: what wrk cut off at its end was never counted, but was run.
    per_request = 1 / (last.instant - first.instant) / rate
    return Figures(
        server_us=measure.cpu_between(first.server, last.server) * per_request * 1e6,
        postgres_us=measure.cpu_between(first.postgres, last.postgres) * per_request * 1e6,
        requests_per_second=rate,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        memory_mb=measure.memory_mb(measure.trees(server.pid)[0]),
        statements=(last.statements - first.statements) * per_request,
        bytes=seen.bytes / seen.requests,
        broken=seen.broken,
    )


def _put_load(
    server: Server, postgres: Postgres, cell: Cell, targets: Path, seconds: float
) -> tuple[wrk.Load, Look, Look]:
    measure.settle(server.pid, postgres.pid)
    with wrk.load(server.port, cell.operation, cell.connections, targets) as load:
        load.wait_until_ready()
        first = _look(server, postgres)
        time.sleep(seconds)
        last = _look(server, postgres)
        return load.finish(), first, last


def _look(server: Server, postgres: Postgres) -> Look:
    own, database = measure.trees(server.pid, postgres.pid)
    return Look(
        time.perf_counter(),
        measure.cpu_seconds(own),
        measure.cpu_seconds(database),
        # Last, for the backend that counts ends at once and takes its CPU time with it.
        postgres.count_statements(server.contestant.name),
    )


def median_of(samples: Sequence[Figures]) -> Figures:
    names = Figures.__dataclass_fields__
    return Figures(**{name: median(getattr(s, name) for s in samples) for name in names})
