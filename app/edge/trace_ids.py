"""The trace that a request belongs to, by W3C Trace Context."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.trace import format_trace_id, get_current_span

# Version ff, and ids of zeros alone, are not valid. Later versions may have more at the end.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})"
    rb"-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)

FindTraceId = Callable[[Mapping[bytes, bytes]], str | None]


def sent_trace_id(headers: Mapping[bytes, bytes]) -> str | None:
    """What the client says; None: nothing, or what is not valid."""
    sent = headers.get(b"traceparent")
    if sent is None:
        return None
    match = _TRACEPARENT.fullmatch(sent)
    if match is None or (match["version"] == b"00" and match["more"] is not None):
        return None
    return match["trace"].decode()


def own_trace_id(_headers: Mapping[bytes, bytes]) -> str | None:
    """That of the span under way, for where there is tracing: it continues what the client sent."""
    return format_trace_id(get_current_span().get_span_context().trace_id)
