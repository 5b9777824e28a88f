"""A connection: slow clients time out, and malformed requests are refused with a problem."""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import httptools
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import FlowControl

from app.config import Settings
from app.edge.heads import refused_by_parser
from app.edge.reader import BODY, HEAD, NOTHING, RequestReader
from app.edge.refusals import refusal
from app.errors import (
    Overloaded,
    Problem,
    RequestTimeout,
)


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, and the settings with the limits of connections."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        keep_alive = settings.keep_alive_timeout
        super().__init__(app, http=EdgeProtocol, timeout_keep_alive=keep_alive, **options)
        self.settings = settings


class _PipelineFlowControl(FlowControl):
    """Pauses reading while pipelined requests wait for earlier ones.

    uvicorn resumes reading after each response. A client that pipelines without end would fill the
    memory, and all others would wait while thousands of its requests are parsed per response.
    """

    def __init__(self, transport: asyncio.Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class EdgeProtocol(RequestReader):
    """A timer is set only when a piece of data leaves a request unfinished. Nearly all requests
    arrive in one piece and need none.
    """

    _arrival_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _PipelineFlowControl(self.transport, self.pipeline)
        assert isinstance(self.config, ServerConfig)
        self.settings = self.config.settings
        self._arrival_timer = self.loop.call_later(self.settings.head_timeout, self._on_late)
        if (
            len(self.connections) > self.settings.max_connections
            and not self._close_idle_connection()
        ):
            self._refuse(Overloaded())

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_arrival_timer()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

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

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()

    def data_received(self, data: bytes) -> None:
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
        elif self.flow.read_paused:  # the server does not read: earlier requests come first
            self._arrival_timer = self.loop.call_later(self.settings.body_timeout, self._on_late)
        else:
            self._refuse(RequestTimeout())

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._arriving:  # else the arrival timer is set
            self._close()

    def pause_writing(self) -> None:
        """The client does not read its response, and the buffers are full. It has BODY_TIMEOUT."""
        self._write_timer = self.loop.call_later(self.settings.body_timeout, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

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
        if not in_body and not getattr(self.cycle, "response_complete", True):
            self.cycle.keep_alive = False
            return
        if not in_body or not (self.pipeline or self.cycle.response_started):
            self.transport.write(self._refusal(problem))
        self._close()

    def _refusal(self, problem: Problem) -> bytes:
        """The response to what is arriving, in place of the application's."""
        self.logger.info("Refused: %s", problem.code)
        scope = cast(Scope, self.scope) if self._arriving == BODY else None
        is_head = scope["method"] == "HEAD" if scope else self._open_head().startswith(b"HEAD ")
        return refusal(problem, scope, self.server_state.default_headers, without_body=is_head)
