"""The one middleware: request id and headers of every answer, HEAD, body limit, log."""

import os
import re
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.trace_ids import FindTraceId, sent_trace_id
from app.errors import BodyTooLarge, DatabaseUnavailable, InternalError, Problem
from app.postgres.statement_count import begin_tally
from app.problems import problem_response

log = structlog.get_logger("satchel.request")

NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_OWN_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Headers = Sequence[tuple[bytes, bytes]]
# Looks at a request before it is routed, and raises a Problem or lets it pass, perhaps with headers
# for its answer.
Guard = Callable[[Scope], Awaitable[Headers | None]]


class Meter(Protocol):
    """Counts requests."""

    in_flight: int

    def count_shed(self) -> None: ...

    def observe(
        self, method: str, route: str | None, status: int, seconds: float, problem: str | None
    ) -> None: ...


class RequestMiddleware:
    """Pure ASGI, and one instead of a stack: each layer costs every request."""

    def __init__(
        self,
        app: ASGIApp,
        max_body_size: int,
        guards: Sequence[Guard] = (),
        meter: Meter | None = None,
        find_trace_id: FindTraceId = sent_trace_id,
    ) -> None:
        self.app = app
        self.max_body_size = max_body_size
        self.guards = guards
        self.meter = meter or _NoMeter()
        self.find_trace_id = find_trace_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        tally = begin_tally()
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        sender = _Sender(send, request_id.encode(), without_body=method == "HEAD")
        limited = _Receiver(receive, headers.get(b"content-length"), self.max_body_size)
        self.meter.in_flight += 1
        try:
            await self._answer(scope, limited, sender)
        finally:
            seconds = time.perf_counter() - started
            self.meter.in_flight -= 1
            route = _route(scope)
            self.meter.observe(method, route, sender.status, seconds, state.get("problem"))
            _log_request(
                state,
                method=method,
                route=route,
                status=sender.status,
                ms=round(seconds * 1000, 2),
                statements=tally.statements,
                request_id=request_id,
                trace_id=self.find_trace_id(headers),
            )

    async def _answer(self, scope: Scope, receive: "_Receiver", sender: "_Sender") -> None:
        try:
            for guard in self.guards:
                if added := await guard(scope):
                    sender.headers += added
            await self.app(scope, receive, sender)
        except Problem as problem:  # a guard's: those of the application have become answers
            await problem_response(problem, scope)(scope, receive, sender)
        except ClientDisconnect:
            log.info("client went away", **_known(scope))
        except CancelledError:  # the server leaves, and how far this came is unknown
            if sender.status:
                raise
            await problem_response(DatabaseUnavailable(), scope)(scope, receive, sender)
        except Exception:
            log.exception("request failed", **_known(scope))
            if sender.status:
                raise  # the answer is under way: the server breaks the connection
            await problem_response(InternalError(), scope)(scope, receive, sender)


class _NoMeter:
    in_flight = 0

    def count_shed(self) -> None:
        """Where nobody counts."""

    def observe(self, *_: object) -> None:
        """Where nobody counts."""


def _log_request(
    state: Mapping[str, Any], *, trace_id: str | None, **told: str | float | None
) -> None:
    """The one line of a request: names and figures, never what a client sent."""
    for name in ("problem", "principal"):
        if name in state:
            told[name] = state[name]
    if trace_id is not None:
        told["trace_id"] = trace_id
    log.info("request", **told)


def _known(scope: Scope) -> dict[str, Any]:
    request_id = scope["state"]["request_id"]
    return {"method": scope["method"], "route": _route(scope), "request_id": request_id}


def request_id_of(own: bytes | None) -> str:
    """The client's own, where it is usable, or a new one."""
    if own is not None and _OWN_REQUEST_ID.fullmatch(own):
        return own.decode()
    return os.urandom(8).hex()


def _route(scope: MutableMapping[str, Any]) -> str | None:
    """The template of the path: ids and whatever else a client put there stay out of logs."""
    return getattr(scope.get("route"), "path", None)


class _Sender:
    """Adds the headers of every answer, and drops the body of an answer to HEAD."""

    def __init__(self, send: Send, request_id: bytes, *, without_body: bool) -> None:
        self.send = send
        self.status = 0
        self.headers = [(b"x-request-id", request_id), NO_SNIFF]
        self._without_body = without_body

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self.headers]
        elif self._without_body:
            message["body"] = b""
        await self.send(message)


class _Receiver:
    """Passes the body on, up to the limit."""

    def __init__(self, receive: Receive, content_length: bytes | None, limit: int) -> None:
        self.receive = receive
        # The server has seen to it that a length is a number.
        self._too_large = content_length is not None and int(content_length) > limit
        self._left = limit

    async def __call__(self) -> Message:
        # A declared length is refused before the client has sent anything. The connection stays
        # open: closed on a client that is still sending, it would take the answer with it.
        if self._too_large:
            raise BodyTooLarge
        message = await self.receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge
        return message
