"""GET /metrics: what the processes have counted, and how they are right now, for Prometheus."""

import asyncio
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.config import ConfigurationError
from app.postgres.statements import Statements
from app.serving.health import Health, examine
from app.telemetry.request_counters import FOLDER, Meter

router = APIRouter(include_in_schema=False)

# Seconds after which a worker tells the others how it is; the one that is asked does so at once.
INTERVAL = 1.0


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counts of all workers, and what the database answers to the one that is asked."""
    state = request.app.state
    meter: Meter = state.meter
    health = await examine(state)
    meter.sample(state.statements)
    registry = CollectorRegistry()
    registry.register(meter.collector())
    registry.register(_Now(health))
    try:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
    except (TypeError, ValueError):  # it asks for a version that is none
        encode, media_type = choose_encoder("")
    return Response(encode(registry), 200, {"Cache-Control": "no-store"}, media_type)


class _Now(Collector):
    """What is found out only when somebody asks."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("satchel_build", "What is running.", build)
        ready = GaugeMetricFamily(
            "satchel_ready", "1 where a check of /readyz passes.", labels=["check"]
        )
        for check, verdict in self._health.checks.items():
            ready.add_metric([check], float(verdict == "pass"))
        yield ready
        schema = InfoMetricFamily("satchel_schema", "The schema's revisions.", labels=[])
        for revision in sorted(self._health.revisions):
            schema.add_metric([], {"revision": revision})
        yield schema


@asynccontextmanager
async def sampling(meter: Meter, statements: Statements) -> AsyncIterator[None]:
    """Lets the other workers know how this one is, while the block runs."""
    if not meter.shared:
        yield
        return
    task = asyncio.create_task(_sample(meter, statements))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sample(meter: Meter, statements: Statements) -> None:
    while True:
        meter.sample(statements)
        await asyncio.sleep(INTERVAL)


@contextmanager
def shared_folder(workers: int) -> Iterator[None]:
    """A folder for what workers count, as long as this lasts; for the parent, before it starts
    them, since the library looks for it when it is imported. Errors: ConfigurationError.
    """
    if workers == 1:
        yield
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="satchel-metrics-")
    except OSError as error:
        raise ConfigurationError(
            f"TMPDIR: workers need a folder for their metrics ({error.strerror})."
            " Name one that can be written to."
        ) from None
    with folder as path:
        os.environ[FOLDER] = path
        try:
            yield
        finally:
            del os.environ[FOLDER]
