"""Counts requests, problems and batches of one process; workers share their counts in files."""

import multiprocessing
import os
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
from app.telemetry.process_metrics import ProcessMetrics

# The library's own variable: the folder where each worker counts in files of its own.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# The prefix of workers' names. A replacement has the name of the worker that ended, and continues
# its counts.
WORKER: Final = "worker-"
UNMATCHED: Final = "unmatched"

# In seconds. Most responses take a few milliseconds; clients rarely wait longer than the last.
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCHES = (1, 2, 5, 10, 20, 50, 100)
# Other methods share a label, since clients can send any number of them.
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


class RequestCounters:
    """What one process counts.

    A dict holds the children of the histogram: the library's `labels()` takes longer than the rest
    of counting a request.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # else each metric has a second, useless series
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
        self.shed = Counter(
            "satchel_requests_shed",
            "Requests refused at once because too many were under way.",
            registry=registry,
        )
        self.batch_size = self._sizes(
            "satchel_read_batch_size",
            "Rows asked for by one statement that reads the rows of many requests.",
        )
        self.insert_batch_size = self._sizes(
            "satchel_insert_batch_size", "Rows inserted by one statement for as many requests."
        )
        self.update_batch_size = self._sizes(
            "satchel_update_batch_size", "Rows changed by one statement for as many requests."
        )
        reads = Counter(
            "satchel_replica_reads",
            "Lists and exports that replicas were to answer, by the server that did.",
            ["server"],
            registry=registry,
        )
        self._replica_reads = {True: reads.labels("replica"), False: reads.labels("primary")}
        self.replica_lag = Gauge(
            "satchel_replica_lag_seconds",
            "How far replicas are behind at most, of those that answer.",
            multiprocess_mode="livemax",
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
        self._process = ProcessMetrics(registry)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(name, help_text, multiprocess_mode="livesum", registry=self._registry)

    def _sizes(self, name: str, help_text: str) -> Histogram:
        return Histogram(name, help_text, buckets=_BATCHES, registry=self._registry)

    def observe(
        self, method: str, route: str | None, status: int, seconds: float, problem: str | None
    ) -> None:
        """Count a request. A `status` of 0 means that the client got no response."""
        child = self._children.get((method, route, status))
        if child is None:
            labels = (method if method in _METHODS else "other", route or UNMATCHED)
            child = self._durations.labels(*labels, str(status or "none"))
            self._children[method, route, status] = child
        child.observe(seconds)
        if problem is not None:
            self.count_problem(problem)

    def count_replica_read(self, by_replica: bool) -> None:
        self._replica_reads[by_replica].inc()

    def count_problem(self, code: str) -> None:
        """Count a problem of a request that did not come to the application."""
        self._problems[code].inc()

    def sample(self, statements: Statements) -> None:
        """Set the gauges to the current state.

        Requests only change plain numbers: a gauge in a file costs microseconds for each change.
        """
        queue = statements.queue
        self._in_flight.set(self.in_flight)
        self._size.set(queue.size)
        self._in_use.set(queue.in_use)
        self._waiting.set(queue.waiting)
        self._process.sample()

    def collector(self) -> Collector:
        """The metrics of this process or, with workers, of all of them."""
        return MultiProcessCollector(None) if self.shared else self._registry


def _worker() -> str | None:
    """The number of this worker; None in any other process."""
    name = multiprocessing.current_process().name
    return name.removeprefix(WORKER) if name.startswith(WORKER) else None


def _count_in_files() -> None:
    identifier = _worker() or str(os.getpid())
    values.ValueClass = values.MultiProcessValue(lambda: identifier)
