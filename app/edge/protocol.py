"""uvicorn's HTTP protocol, except that an offered upgrade is ignored and the body read, that what
does not arrive in time ends, and that what is no request is refused with a problem.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, cast

import httptools
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.edge.middleware import NO_SNIFF, request_id_of
from app.errors import (
    HeadTooLarge,
    MalformedRequest,
    Overloaded,
    Problem,
    RequestTimeout,
    TargetTooLong,
    UnknownMethod,
)
from app.problems import problem_response

# The parser itself would collect a request line and headers without end.
MAX_HEAD_SIZE: Final = 65_536


@dataclass(frozen=True)
class Limits:
    """What a client may take up: seconds for each part of a request, and connections."""

    head: float = 10
    body: float = 30  # and for the answer, where the client does not take it
    connections: int = 900


class ServerConfig(uvicorn.Config):
    """uvicorn's, with the limits of connections."""

    def __init__(self, app: Any, *, limits: Limits, **options: Any) -> None:
        super().__init__(app, http=EdgeProtocol, **options)
        self.limits = limits


class _Flow(FlowControl):
    """Reads no further while requests that have come wait for those before them.

    uvicorn's reads on after each answer: a client that sends without waiting for answers fills the
    memory, and everybody waits while thousands of its requests are parsed for each one answered.
    """

    def __init__(self, transport: asyncio.Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


# The part of a request that is on its way. Not an Enum: members cost, and each request asks often.
_NOTHING, _HEAD, _BODY = range(3)


class EdgeProtocol(HttpToolsProtocol):
    """Java's HttpClient offers `Upgrade: h2c` with its first request. The parser stops behind the
    head of such a request and its body would be lost; here the head is parsed again without the
    offer. Other requests pay for one question to the parser.

    Time is limited by timers that are set where a piece leaves a request unfinished, so that one
    which arrives in one piece, as nearly all do, has none.
    """

    _open_head: int | None = None  # bytes so far of a head whose end has not come yet
    _piece = 0  # bytes of the last piece
    _arriving: int = _NOTHING
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _Flow(self.transport, self.pipeline)
        assert isinstance(self.config, ServerConfig)
        self.limits = self.config.limits
        self._late = self.loop.call_later(self.limits.head, self._on_late)
        if len(self.connections) > self.limits.connections and not self._take_idle_place():
            self._refuse(Overloaded())

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_unread()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _take_idle_place(self) -> bool:
        """Close another connection that nobody needs at the moment."""
        for other in self.connections:
            assert isinstance(other, EdgeProtocol)
            if other.timeout_keep_alive_task is not None and not other._arriving:
                other._unset_keepalive_if_required()
                other._close()
                return True
        return False

    # What arrives

    def on_message_begin(self) -> None:
        self._open_head = 0
        self._arriving = _HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._open_head = None
        if self._piece > MAX_HEAD_SIZE and self._head_size() > MAX_HEAD_SIZE:
            raise self._too_large()
        if not self.parser.should_upgrade():
            self._arriving = _BODY
            if self._late is not None:
                self._stop_waiting()
            self._unset_keepalive_if_required()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._arriving = _NOTHING
            if self._late is not None:
                self._stop_waiting()
            if self.cycle.response_complete:  # it was answered before it had come whole
                self._keep_alive()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()

    def data_received(self, data: bytes) -> None:
        try:
            while data:
                data = self._parse(data)
        except (httptools.HttpParserError, Problem) as error:
            self._refuse(_problem_of(error, data))
            return
        if self._arriving and self._late is None:
            seconds = self.limits.head if self._arriving == _HEAD else self.limits.body
            self._late = self.loop.call_later(seconds, self._on_late)

    def _parse(self, data: bytes) -> bytes:
        """Parse, and return what is to be parsed again."""
        head_was_open = self._open_head is not None
        self._piece = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # As uvicorn does: what follows the last request of a connection spoils no answer.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + data[upgrade.args[0] :]
        if head_was_open and self._open_head is not None:
            self._open_head += len(data)
            if self._open_head > MAX_HEAD_SIZE:
                raise self._too_large()
        return b""

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":  # no offer to refuse: it asks for a tunnel
            raise MalformedRequest
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _too_large(self) -> Problem:
        return TargetTooLong() if len(self.url) > MAX_HEAD_SIZE // 2 else HeadTooLarge()

    # What does not arrive, or is not taken

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _on_late(self) -> None:
        self._late = None
        if not self._arriving:
            self._close()
        elif self.flow.read_paused:  # it is we who do not read: earlier requests come first
            self._late = self.loop.call_later(self.limits.body, self._on_late)
        else:
            self._refuse(RequestTimeout())

    def _keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._arriving:  # or there is a timer for it
            self._close()

    def pause_writing(self) -> None:
        """The client does not take its answer; what is larger than the buffers waits for it."""
        self._unread = self.loop.call_later(self.limits.body, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stop_unread()
        super().resume_writing()

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _close(self) -> None:
        """Close, once the client has taken what is written, for which it has some time."""
        self.transport.close()
        if self.transport.get_write_buffer_size() and self._unread is None:
            self._unread = self.loop.call_later(self.limits.body, self.transport.abort)

    def _refuse(self, problem: Problem) -> None:
        """Answer what is arriving with a problem and close, after the answers that come before."""
        self._stop_waiting()
        arrives_body = self._arriving == _BODY
        if not arrives_body and not getattr(self.cycle, "response_complete", True):
            self.cycle.keep_alive = False
            return
        if not arrives_body or not (self.pipeline or self.cycle.response_started):
            self._write(problem)
        self._close()

    def _write(self, problem: Problem) -> None:
        """An answer without a request, or with one that the application has not answered."""
        # An empty reference means whatever was asked for: it may not have been understood.
        scope: Scope = {"path": "", "state": {}}
        if self._arriving == _BODY:
            scope = dict(self.scope)
        request_id = scope["state"].setdefault("request_id", request_id_of(None))
        response = problem_response(problem, scope)
        self.logger.info("Refused: %s", problem.code)
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"x-request-id", request_id.encode()),
            NO_SNIFF,
            (b"connection", b"close"),
        ]
        lines = [STATUS_LINE[problem.status], *(b"%s: %s\r\n" % header for header in headers)]
        self.transport.write(b"".join([*lines, b"\r\n", bytes(response.body)]))


def _problem_of(error: Exception, piece: bytes) -> Problem:
    # What does not begin with a word is another protocol, such as TLS.
    if isinstance(error, httptools.HttpParserInvalidMethodError) and piece[:1].isalpha():
        return UnknownMethod()
    # The parser wraps what is raised by those it calls.
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    return cause if isinstance(cause, Problem) else MalformedRequest()
