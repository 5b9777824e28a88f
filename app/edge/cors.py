"""Cross-origin requests: which pages' scripts may call, and what they may see of the answers."""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.edge.middleware import NO_SNIFF, request_id_of

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_TAKEN: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Traceparent",
    "Tracestate",
    "X-Request-ID",
)
_SHOWN: Final = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-ID",
    "Idempotency-Replayed",
)


class CrossOrigin(CORSMiddleware):
    """Around everything that answers, so that scripts can read refusals too.

    Never with credentials of the browser's own, such as cookies: there are none, and a token in
    Authorization needs no leave but that for the header.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_TAKEN,
            expose_headers=_SHOWN,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What the browser may send: it is the browser that refuses the rest, so that a preflight
        that grants nothing is no error.
        """
        granted = super().preflight_response(request_headers).raw_headers
        own_id = request_headers.get("x-request-id", "").encode("latin-1")
        answer = Response(status_code=204)
        answer.raw_headers = [
            *(header for header in granted if not header[0].startswith(b"content-")),
            (b"x-request-id", request_id_of(own_id).encode()),
            NO_SNIFF,
        ]
        return answer
