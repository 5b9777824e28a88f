"""The one middleware: request id, guards, headers of every response, HEAD, body limit, log."""

import os
import re
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.trace_ids import FindTraceId, sent_trace_id
from app.errors import BodyTooLarge, DatabaseUnavailable, InternalError, Problem
from app.postgres.statement_count import start_statement_count
from app.problems import problem_response
from app.telemetry.request_counters import RequestCounters

log = structlog.get_logger("satchel.request")

NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_USABLE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Headers = Sequence[tuple[bytes, bytes]]
# Sees a request before it is routed. Raises a Problem, or lets the request pass and may return
# headers for its response.
Guard = Callable[[Scope], Awaitable[Headers | None]]


class RequestMiddleware:
    """Pure ASGI, and one class instead of several: each layer costs every request."""

    def __init__(
        self,
        app: ASGIApp,
        max_body_size: int,
        counters: RequestCounters,
        guards: Sequence[Guard] = (),
        find_trace_id: FindTraceId = sent_trace_id,
        check_load: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = app
        self.max_body_size = max_body_size
        self.counters = counters
        self.guards = guards
        self.find_trace_id = find_trace_id
        self.check_load = check_load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        count = start_statement_count()
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
            state["is_head"] = True
        sender = _Sender(send, request_id.encode(), without_body=method == "HEAD")
        receiver = _Receiver(receive, headers.get(b"content-length"), state, self)
        self.counters.in_flight += 1
        try:
            await self._respond(scope, receiver, sender)
        finally:
            seconds = time.perf_counter() - started
            self.counters.in_flight -= 1
            route = _route_of(scope)
            self.counters.observe(method, route, sender.status, seconds, state.get("problem"))
            optional = {name: state[name] for name in ("problem", "principal") if name in state}
            if (trace_id := self.find_trace_id(headers)) is not None:
                optional["trace_id"] = trace_id
            # Names and figures only, never what a client sent.
            log.info(
                "request",
                method=method,
                route=route,
                status=sender.status,
                ms=round(seconds * 1000, 2),
                statements=count.statements,
                request_id=request_id,
                **optional,
            )

    async def _respond(self, scope: Scope, receive: "_Receiver", sender: "_Sender") -> None:
        try:
            for guard in self.guards:
                if added := await guard(scope):
                    sender.headers += added
            await self.app(scope, receive, sender)
        except Problem as raised:  # by a guard: the application turns its own into responses
            problem = raised
        except ClientDisconnect:
            log.info("client went away", **_fields_of(scope))
            return
        except CancelledError:  # the server shuts down: how far the request came is unknown
            if sender.status:
                raise
            problem = DatabaseUnavailable()
        except Exception:
            log.exception("request failed", **_fields_of(scope))
            if sender.status:
                raise  # the response has begun: the server breaks the connection
            problem = InternalError()
        else:
            return
        await problem_response(problem, scope)(scope, receive, sender)


def _fields_of(scope: Scope) -> dict[str, Any]:
    request_id = scope["state"]["request_id"]
    return {"method": scope["method"], "route": _route_of(scope), "request_id": request_id}


def request_id_of(sent: bytes | None) -> str:
    """The client's own request id if it is usable, else a new one."""
    if sent is not None and _USABLE_REQUEST_ID.fullmatch(sent):
        return sent.decode()
    return os.urandom(8).hex()


def _route_of(scope: Scope) -> str | None:
    """The template of the path: ids and other text of clients stay out of logs."""
    return getattr(scope.get("route"), "path", None)


class _Sender:
    """Adds the headers of every response, and drops the body of a response to HEAD."""

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
    """Receives the body up to the limit. Errors: BodyTooLarge, Overloaded.

    A route may set another limit, as `max_body_size` of the request's state, before it receives.
    """

    def __init__(
        self,
        receive: Receive,
        content_length: bytes | None,
        state: Mapping[str, Any],
        middleware: RequestMiddleware,
    ) -> None:
        self.receive = receive
        self._state = state
        # The server has checked that Content-Length is a number, but it may have any number of
        # digits. The first 20 after the zeros are enough to compare.
        digits = (content_length or b"").lstrip(b"0")[:20]
        self._declared = int(digits or 0)
        self._received = 0
        self._middleware = middleware
        self._complete = False

    async def __call__(self) -> Message:
        # A body that declares to be too large is refused before the client sends it. The connection
        # stays open: if it closed while the client sends, the client would not read the response.
        limit = self._state.get("max_body_size", self._middleware.max_body_size)
        if self._declared > limit:
            raise BodyTooLarge
        if self._complete:
            return await self.receive()
        # While it waits for its body, the request is not in flight.
        counters = self._middleware.counters
        counters.in_flight -= 1
        try:
            message = await self.receive()
        finally:
            counters.in_flight += 1
        self._received += len(message.get("body", b""))
        if self._received > limit:
            raise BodyTooLarge
        self._complete = not message.get("more_body")
        if self._complete and message["type"] == "http.request":
            self._middleware.check_load()
        return message
