"""Cross-origin requests (CORS): which origins may call, and which headers scripts may read."""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.foreign_pages import ForeignHosts
from app.edge.middleware import NO_SNIFF, request_id_of

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Traceparent",
    "Tracestate",
    "X-Request-ID",
)
_RESPONSE_HEADERS: Final = (
    "Content-Disposition",
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
    """Stands outside of everything that responds, so that scripts can read refusals too.

    It never allows the browser's own credentials, since there are no cookies. A token in
    Authorization needs no more than permission for the header.
    """

    def __init__(
        self, app: ASGIApp, origins: Sequence[str], hosts: ForeignHosts | None = None
    ) -> None:
        self._hosts = hosts
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A preflight for a foreign host is refused, as every request for it.
        if self._hosts is not None and scope["type"] == "http" and self._hosts.refuses(scope):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What the browser may send. The browser itself refuses everything else, so a preflight
        that grants nothing is not an error.
        """
        granted = super().preflight_response(request_headers).raw_headers
        client_id = request_headers.get("x-request-id", "").encode("latin-1")
        response = Response(status_code=204)
        response.raw_headers = [
            *(header for header in granted if not header[0].startswith(b"content-")),
            (b"x-request-id", request_id_of(client_id).encode()),
            NO_SNIFF,
        ]
        return response
