"""Switches tracing on if a collector is configured, and only then imports the extra libraries."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from fastapi.telemetry import TelemetryConfig

from app.config import ConfigurationError, Settings

if TYPE_CHECKING:
    from app.telemetry.spans import Tracing

OFF: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}


def make_tracing(settings: Settings) -> "Tracing | None":
    """Tracing as the settings say; None if it is off.

    Errors: ConfigurationError if the libraries are not installed.
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
    tracing: Tracing = spans.Tracing(endpoint)
    return tracing


def telemetry_of(tracing: "Tracing | None") -> TelemetryConfig:
    """FastAPI's part: one span per request. Spans of its own steps would cost twice as much again
    and show little.
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
