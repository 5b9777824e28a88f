"""Traces, where a collector is named: the parts of OpenTelemetry that are only then needed."""

from importlib import import_module
from typing import Protocol

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import ConfigurationError, Settings

OFF = TelemetryConfig(tracing=False, metrics=False, logs=False)


class Tracing(Protocol):
    """Spans of the requests of one process."""

    provider: TracerProvider

    def start(self, engine: AsyncEngine) -> None:
        """Send spans from now on, those of an engine's statements too."""

    async def stop(self) -> None:
        """Send what is left, as far as the collector takes it in time."""


def make_tracing(settings: Settings) -> Tracing | None:
    """What traces, by the settings; None: nothing does.

    Errors: ConfigurationError, where the libraries are not installed.
    """
    endpoint = settings.traces_endpoint
    if endpoint is None:
        return None
    try:
        spans = import_module("app.telemetry.spans")
    except ImportError:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: traces need more libraries."
            " Run `pip install '.[tracing]'` in Satchel's folder, or set OTEL_SDK_DISABLED=true."
        ) from None
    tracing: Tracing = spans.Spans(endpoint)
    return tracing


def telemetry_of(tracing: Tracing | None) -> TelemetryConfig:
    """FastAPI's part in it: one span per request. Those of its own steps cost twice as much again
    and tell little.
    """
    if tracing is None:
        return OFF
    return {
        **OFF,
        "tracing": True,
        "tracer_provider": tracing.provider,
        "operation_spans": False,
        "auto_configure": False,
    }
