"""Sends spans of requests and statements to a collector, without what clients sent."""

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

# Time to send the last spans, so that an unreachable collector does not delay the shutdown.
FLUSH_TIMEOUT_SECONDS = 3.0
# An allow list, so that a new release of a library cannot add what clients sent.
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


class Tracing:
    """Traces one process. A thread of its own sends spans in batches."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        own = {SERVICE_NAME: "satchel", SERVICE_VERSION: __version__}
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)

    def start(self) -> None:
        """Send spans from now on."""
        self.provider.add_span_processor(AttributeFilter(OTLPSpanExporter(self._endpoint)))

    def observe(self, engine: AsyncEngine) -> None:
        """Send those of an engine's statements too."""
        usage = metrics.NoOpMeter("satchel").create_up_down_counter("connections")
        EngineTracer(self.provider.get_tracer("satchel"), engine.sync_engine, usage)

    async def stop(self) -> None:
        """Send the spans that are left, unless the collector takes too long."""
        closing = threading.Thread(target=self.provider.shutdown, name="last-traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_TIMEOUT_SECONDS)


class AttributeFilter(BatchSpanProcessor):
    """Drops the attributes that may contain what clients sent: path and query, the driver's message
    about a failed statement, and all attributes that are not in the allow list.
    """

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(
            ReadableSpan(
                name=span.name,
                context=_without_state(span.context),
                parent=_without_state(span.parent),
                resource=span.resource,
                attributes={k: v for k, v in (span.attributes or {}).items() if k in _KEPT},
                kind=span.kind,
                status=Status(span.status.status_code),
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )


def _without_state(context: SpanContext | None) -> SpanContext | None:
    """Without the `tracestate`, which comes from the client."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
