"""Spans of requests and statements, sent to a collector without what clients sent."""

import asyncio
import threading
from typing import Final

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, Status
from sqlalchemy.ext.asyncio import AsyncEngine

from app import __version__

# Seconds to get rid of the last spans: a collector that is away holds up no shutdown.
PATIENCE = 3.0
# A list of what is kept, so that a new release of a library cannot add what clients sent.
_KEPT: Final = {
    "db.name",
    "db.namespace",
    "db.query.text",
    "db.statement",
    "db.system",
    "db.system.name",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "url.scheme",
}


class Spans:
    """Makes spans; sends them in batches, from a thread of its own, from `start` on."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        own = {SERVICE_NAME: "satchel", SERVICE_VERSION: __version__}
        # The operator's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)

    def start(self, engine: AsyncEngine) -> None:
        self.provider.add_span_processor(Cleaning(OTLPSpanExporter(self._endpoint)))
        usage = metrics.NoOpMeter("satchel").create_up_down_counter("connections")
        EngineTracer(self.provider.get_tracer("satchel"), engine.sync_engine, usage)

    async def stop(self) -> None:
        closing = threading.Thread(target=self.provider.shutdown, name="last-traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, PATIENCE)


class Cleaning(BatchSpanProcessor):
    """Leaves out path and query of a request, what a driver says of a failed statement, which may
    be the row, and whatever else is not known to hold names and figures alone.
    """

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(
            ReadableSpan(
                name=span.name,
                context=_own_part(span.context),
                parent=_own_part(span.parent),
                resource=span.resource,
                attributes={k: v for k, v in (span.attributes or {}).items() if k in _KEPT},
                kind=span.kind,
                status=Status(span.status.status_code),
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )


def _own_part(context: SpanContext | None) -> SpanContext | None:
    """Without the `tracestate`, which is the client's."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
