"""The trace id of a request, by W3C Trace Context."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.trace import format_trace_id, get_current_span

# Version ff, and ids of zeros alone, are invalid. Later versions may append fields.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})"
    rb"-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)

FindTraceId = Callable[[Mapping[bytes, bytes]], str | None]


def sent_trace_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The trace id in the client's `traceparent`; None if there is none or it is invalid."""
    sent = headers.get(b"traceparent")
    match = None if sent is None else _TRACEPARENT.fullmatch(sent)
    if match is None or (match["version"] == b"00" and match["more"] is not None):
        return None
    return match["trace"].decode()


def own_trace_id(_headers: Mapping[bytes, bytes]) -> str | None:
    """The trace id of the current span, if tracing is on: the span continues the client's trace."""
    return format_trace_id(get_current_span().get_span_context().trace_id)
