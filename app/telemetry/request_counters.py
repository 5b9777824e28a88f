"""Counts what happens while requests are served; with workers, in files that they share."""

import multiprocessing
import os
import shutil
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.errors import problem_types
from app.postgres.statements import Statements
from app.telemetry.process_metrics import ProcessMeter

# The library's own variable: a folder where each worker counts in files of its own.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# How the parent calls its workers; one that takes a dead one's place counts on where that ended.
WORKER: Final = "worker-"
UNMATCHED: Final = "unmatched"

# Seconds. Most answers take a few milliseconds; what takes longer than the last waits in vain.
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCHES = (1, 2, 5, 10, 20, 50, 100)
# Other methods share a label: a client may invent as many as it likes.
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


class Meter:
    """What one process counts.

    A metric's child is looked up in a dict of ours: the library's `labels()` takes longer than all
    the rest of counting a request.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # a second series of each, which says what a restart says
        self.shared = FOLDER in os.environ
        if self.shared:
            _count_in_files()
        registry = self._registry = CollectorRegistry()
        self.in_flight = 0
        self._durations = Histogram(
            "satchel_http_request_duration_seconds",
            "Time from the head of a request to the end of its answer.",
            ["method", "route", "status"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self._children: dict[tuple[str, str | None, int], Histogram] = {}
        problems = Counter(
            "satchel_problems", "Answers that were problems.", ["code"], registry=registry
        )
        # All from the start: a series that begins with its first problem has no rate.
        self._problems = {code: problems.labels(code) for code in sorted(problem_types())}
        self._shed = Counter(
            "satchel_requests_shed",
            "Requests refused at once because too many were under way.",
            registry=registry,
        )
        self.batch_size = Histogram(
            "satchel_read_batch_size",
            "Rows asked for by one statement that reads the rows of many requests.",
            buckets=_BATCHES,
            registry=registry,
        )
        self.insert_batch_size = Histogram(
            "satchel_insert_batch_size",
            "Rows inserted by one statement for as many requests.",
            buckets=_BATCHES,
            registry=registry,
        )
        self._in_flight = self._gauge("satchel_http_requests_in_flight", "Requests under way.")
        self._size = self._gauge(
            "satchel_database_connections_max", "Connections that the pools may open."
        )
        self._in_use = self._gauge(
            "satchel_database_connections_in_use", "Connections that run a statement."
        )
        self._waiting = self._gauge(
            "satchel_database_connections_waiting", "Callers that wait for a connection."
        )
        self._process = ProcessMeter(registry)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, multiprocess_mode="livesum", registry=self._registry)

    def observe(
        self, method: str, route: str | None, status: int, seconds: float, problem: str | None
    ) -> None:
        """Count a request; without a `status` the client has had no answer."""
        child = self._children.get((method, route, status))
        if child is None:
            child = self._add_child(method, route, status)
        child.observe(seconds)
        if problem is not None:
            self._problems[problem].inc()

    def count_shed(self) -> None:
        self._shed.inc()

    def _add_child(self, method: str, route: str | None, status: int) -> Histogram:
        if method not in _METHODS:
            method = "other"
        child = self._durations.labels(method, route or UNMATCHED, str(status or "none"))
        self._children[method, route, status] = child
        return child

    def sample(self, statements: Statements) -> None:
        """Set what is a state and not a count; nobody looks at it more often than this is called.

        Requests only change plain numbers: in files, each change would cost microseconds.
        """
        load = statements.load()
        self._in_flight.set(self.in_flight)
        self._size.set(load.size)
        self._in_use.set(load.in_use)
        self._waiting.set(load.waiting)
        self._process.sample()

    def collector(self) -> Collector:
        """What this process has counted, or all workers together."""
        return MultiProcessCollector(None) if self.shared else self._registry


def drop_files() -> None:
    """For workers whose parent was killed: what it made for them, it cannot remove any more."""
    if _worker() is not None:
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


def _worker() -> str | None:
    """This worker's place; None: it is no worker of ours."""
    name = multiprocessing.current_process().name
    return name.removeprefix(WORKER) if name.startswith(WORKER) else None


def _count_in_files() -> None:
    place = _worker() or str(os.getpid())
    values.ValueClass = values.MultiProcessValue(lambda: place)
