"""GET /metrics: counts and current state of all workers, for Prometheus."""

import asyncio
import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.config import ConfigurationError
from app.postgres.statements import Statements
from app.serving.folders import temporary_folder
from app.serving.health import Health
from app.telemetry.request_counters import FOLDER, RequestCounters

router = APIRouter(include_in_schema=False)

# How often a worker shares its state. The worker that responds also does so at once.
SAMPLE_INTERVAL_SECONDS = 1.0


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Metrics of all workers, and the checks of /readyz."""
    state = request.app.state
    counters: RequestCounters = state.counters
    health = await state.examiner.examine()
    counters.sample(state.statements)
    registry = CollectorRegistry()
    registry.register(counters.collector())
    registry.register(_HealthCollector(health))
    try:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
    except (TypeError, ValueError):  # it asks for a version that does not exist
        encode, media_type = choose_encoder("")
    return Response(encode(registry), 200, {"Cache-Control": "no-store"}, media_type)


class _HealthCollector(Collector):
    """Metrics that are made for each response."""

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


async def share_samples(counters: RequestCounters, statements: Statements) -> None:
    """Share the state of this worker periodically, if there are others."""
    while counters.shared:
        counters.sample(statements)
        await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)


@contextmanager
def shared_folder(workers: int) -> Iterator[None]:
    """A folder for the workers' metrics while the block runs. The parent makes it before it starts
    them, since the library looks for it when it is imported. Errors: ConfigurationError.
    """
    if workers == 1:
        yield
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder("satchel-metrics-"))
        except OSError as error:
            raise ConfigurationError(
                f"TMPDIR: workers need a folder for their metrics ({error.strerror})."
                " Name one that can be written to."
            ) from None
        os.environ[FOLDER] = str(folder)
        try:
            yield
        finally:
            del os.environ[FOLDER]
