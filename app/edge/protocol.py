"""A connection: slow clients time out, and malformed requests are refused with a problem."""

import asyncio
from typing import Any, cast

import httptools
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.config import Settings
from app.edge.cycle import Cycle
from app.edge.heads import refused_by_parser
from app.edge.reader import BODY, HEAD, NOTHING, RequestReader
from app.edge.refusals import refusal
from app.edge.unread import UnreadResponses
from app.errors import Overloaded, Problem, RequestTimeout
from app.telemetry.request_counters import RequestCounters


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, and the settings with the limits of connections."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        keep_alive = settings.keep_alive_timeout
        super().__init__(app, http=EdgeProtocol, timeout_keep_alive=keep_alive, **options)
        self.settings = settings
        self.unread = UnreadResponses()  # each worker has its own


class _PipelineFlowControl(FlowControl):
    """Pauses reading while pipelined requests wait for earlier ones.

    uvicorn resumes reading after each response. A client that pipelines without end would fill the
    memory, and all others would wait while thousands of its requests are parsed per response.
    """

    def __init__(self, protocol: "EdgeProtocol") -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        # A closed transport would raise an error.
        if self.read_paused and not (self._protocol.has_more or self._transport.is_closing()):
            super().resume_reading()


class EdgeProtocol(RequestReader):
    """A timer is set only when a piece of data leaves a request unfinished. Nearly all requests
    arrive in one piece and need none.
    """

    _arrival_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _in_flight: RequestResponseCycle | None = None
    _deferred: tuple[RequestResponseCycle, Any] | None = None  # waits until the client reads
    _last_answer = b""  # a refusal that comes after the answers that are owed

    @property
    def has_more(self) -> bool:
        """Whether requests wait that must not become more."""
        return bool(self.pipeline or self._unparsed) and not self._last_answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _PipelineFlowControl(self)
        assert isinstance(self.config, ServerConfig)
        self.settings = self.config.settings
        self._unread = self.config.unread
        self._arrival_timer = self.loop.call_later(self.settings.head_timeout, self._on_late)
        if (
            len(self.connections) > self.settings.max_connections
            and not self._close_idle_connection()
        ):
            self._refuse(Overloaded())

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_arrival_timer()
        self._stop_write_timer()
        self._unread.remove(self.transport)
        self._unset_keepalive_if_required()
        cycle = self._in_flight
        super().connection_lost(exc)
        if cycle is not None and cycle is not self.cycle:  # uvicorn tells only the last request
            cycle.disconnected = True
            cycle.message_event.set()

    def _close_idle_connection(self) -> bool:
        """Close an idle connection to make room for this one. False if none is idle."""
        for other in self.connections:
            assert isinstance(other, EdgeProtocol)
            if other.timeout_keep_alive_task is not None and not other._arriving:
                other._unset_keepalive_if_required()
                other._close()
                return True
        return False

    # Reading

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._arriving == BODY:
            self._stop_arrival_timer()
            self._unset_keepalive_if_required()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._arriving == NOTHING:
            self._stop_arrival_timer()
            if self.cycle.response_complete:  # answered before it was complete
                self._unset_keepalive_if_required()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle  # uvicorn names the class where it makes one
        if self.flow.write_paused:  # else its response would wait in memory too
            self._deferred = cycle, app
            return
        self._in_flight = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif was_last and self._last_answer:
            self.transport.write(self._last_answer)
            self._close()
        elif self._unparsed and not self.pipeline:
            data, self._unparsed = self._unparsed, b""
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._last_answer:
            return
        if self._unparsed:  # it was received before reading paused
            self._unparsed += data
            return
        try:
            self._read(data)
        except httptools.HttpParserError as error:
            self._refuse(refused_by_parser(error, self._open_head()))
            return
        except Problem as problem:
            self._refuse(problem)
            return
        if self._arriving and self._arrival_timer is None:
            seconds = (
                self.settings.head_timeout if self._arriving == HEAD else self.settings.body_timeout
            )
            self._arrival_timer = self.loop.call_later(seconds, self._on_late)

    # Timeouts and refusals

    def _stop_arrival_timer(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _on_late(self) -> None:
        self._arrival_timer = None
        if not self._arriving:
            self._close()
        elif self.flow.read_paused or self._is_moving():
            # The server does not read, since earlier requests come first; or it takes a long body.
            self._arrival_timer = self.loop.call_later(self.settings.body_timeout, self._on_late)
        else:
            self._refuse(RequestTimeout())

    def _is_moving(self) -> bool:
        """Whether it is a body that may take long, of which more has come since the last time."""
        has_more, self._has_received = self._has_received, False
        return has_more and self._arriving == BODY and "is_upload" in self.scope["state"]

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._arriving:  # else the arrival timer is set
            self._close()

    def pause_writing(self) -> None:
        """The client does not read its response, and the buffers are full. It has BODY_TIMEOUT."""
        self._write_timer = self.loop.call_later(self.settings.body_timeout, self.transport.abort)
        super().pause_writing()
        self._unread.add(self.transport)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        self._unread.remove(self.transport)
        super().resume_writing()
        if self._deferred is not None and not self.transport.is_closing():
            deferred, self._deferred = self._deferred, None
            self._start_asgi_task(*deferred)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _close(self) -> None:
        """Close once the client has read what is written, or when its time is up."""
        self.transport.close()
        if self.transport.get_write_buffer_size() and self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.settings.body_timeout, self.transport.abort
            )

    def _refuse(self, problem: Problem) -> None:
        """Respond to what is arriving with a problem, after earlier responses, and close."""
        self._stop_arrival_timer()
        in_body = self._arriving == BODY
        if in_body and self.cycle.response_started:
            self._close()
            return
        answer = self._refusal(problem)
        self._arriving = NOTHING
        if in_body and self.pipeline:
            self.pipeline.popleft()  # what is arriving waits there
        elif in_body or getattr(self.cycle, "response_complete", True):
            self.transport.write(answer)
            self._close()
            return
        self._last_answer = answer
        # If data was unread when the connection closes, the client would lose the response.
        self.flow.resume_reading()

    def _refusal(self, problem: Problem) -> bytes:
        """The response to what is arriving, in place of the application's."""
        self.logger.info("Refused: %s", problem.code)
        if "counters" in self.app_state:
            counters: RequestCounters = self.app_state["counters"]
            counters.count_problem(problem.code)
        scope: Scope
        if self._arriving == BODY:
            scope = dict(self.scope)
            is_head = scope["method"] == "HEAD"
        else:
            # The target may not have been understood. An empty reference means "this request".
            scope = {"path": "", "root_path": self.root_path, "state": {}}
            is_head = self._open_head().startswith(b"HEAD ")
        return refusal(problem, scope, self.server_state.default_headers, without_body=is_head)
