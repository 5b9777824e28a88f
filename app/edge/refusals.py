"""Writes a problem as the server itself responds with it, without the application."""

from collections.abc import Sequence
from typing import Final

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.edge.middleware import NO_SNIFF, request_id_of
from app.errors import Problem
from app.problems import problem_response

_CLOSE: Final = (b"connection", b"close")


def refusal(
    problem: Problem,
    scope: Scope,
    default_headers: Sequence[tuple[bytes, bytes]],
    *,
    without_body: bool,
) -> bytes:
    """The bytes of the response."""
    scope = {**scope, "state": dict(scope["state"])}  # the application's own must not change
    request_id = scope["state"].setdefault("request_id", request_id_of(None))
    response = problem_response(problem, scope)
    headers = [
        *default_headers,
        *response.raw_headers,
        (b"x-request-id", request_id.encode()),
        NO_SNIFF,
        _CLOSE,
    ]
    lines = [STATUS_LINE[problem.status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n"]
    return b"".join(lines if without_body else [*lines, bytes(response.body)])
