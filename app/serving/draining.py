"""Graceful shutdown: a server fails its readiness probe, then stops accepting, then exits."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import structlog
import uvicorn
from starlette.types import Scope

log = structlog.get_logger("satchel.draining")

# A signal that is repeated within this time is the same signal: a terminal sends Ctrl-C to all
# processes, and the parent passes it on.
SIGNAL_ECHO_SECONDS = 1.0
# How long an idle connection may still send a request once the server stops accepting.
IDLE_GRACE_SECONDS = 0.5
# How long cancelled requests have to send their response.
CANCEL_TIMEOUT_SECONDS = 2.0
# How often the backlog may fill up again while the server stops accepting.
MAX_PLUGS = 100
# In how many turns of the loop asyncio makes a connection of a socket that it has accepted.
LOOP_TURNS_OF_ACCEPT = 3
_CLOSE = (b"connection", b"close")


def is_draining(scope: Scope) -> bool:
    """Whether the server of this request shuts down."""
    return "draining" in scope["state"]


def _plug(listener: socket.socket) -> bool:
    """Whether the backlog of a socket is now full with a connection to itself.

    Clients that connect between the last accept and the end of the socket would be reset. Where the
    backlog is full, the system ignores them, and refuses them when they try again. Only Linux makes
    a backlog as short as one connection.
    """
    listener.listen(0)
    with socket.socket(listener.family) as plug:
        plug.setblocking(False)
        plug.connect_ex(listener.getsockname())  # begins, and
        return plug.connect_ex(listener.getsockname()) == 0  # tells whether it is done


class DrainingServer(uvicorn.Server):
    """uvicorn's server, except that it does not close its socket at the first signal.

    For `delay` seconds it keeps serving, but is not ready and closes each connection after its
    response, so that load balancers stop using it. Then it stops accepting connections and exits
    when all requests are answered. It cancels those that take longer than `grace` seconds. Each
    further signal ends the current wait.
    """

    def __init__(self, config: uvicorn.Config, delay: float, grace: float) -> None:
        super().__init__(config)
        self.delay = delay
        self.grace = grace
        self._waits_until = 0.0
        self._signalled = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.should_exit and now - self._signalled < SIGNAL_ECHO_SECONDS:
            return
        if not self.should_exit:
            super().handle_exit(sig, frame)
        self._signalled = now
        self._waits_until = 0.0

    async def main_loop(self) -> None:
        await super().main_loop()
        self._drain()
        log.info("draining", seconds=self.delay)
        await self._wait_while(lambda: True, self.delay)

    def _drain(self) -> None:
        # Every request gets a copy of this state, and these headers.
        self.lifespan.state["draining"] = True
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers.append(_CLOSE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if (
            "draining" not in self.lifespan.state
        ):  # signalled during start-up: main_loop did not run
            self._drain()
        loop = asyncio.get_running_loop()
        for listener in sockets or []:
            loop.remove_reader(listener)
        # asyncio drops accepted sockets of which it has made no connection when its server closes.
        for _ in range(LOOP_TURNS_OF_ACCEPT):
            await asyncio.sleep(0)
        listeners = [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for listener in listeners:
            await self._accept_pending(listener)
        connections, tasks = self.server_state.connections, self.server_state.tasks
        # Idle connections are closed, but the next request of one may be on its way.
        await self._wait_while(lambda: connections, IDLE_GRACE_SECONDS)
        for connection in list(connections):
            connection.shutdown()
        await self._wait_while(lambda: connections or tasks, self.grace)
        if tasks:
            log.warning("cancelled", requests=len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT_SECONDS)
        await super().shutdown(sockets)

    async def _accept_pending(self, listener: socket.socket) -> None:
        """Accept the connections in the socket's backlog, which closing the socket would reset."""
        listener.setblocking(False)
        accepted = []
        for _ in range(MAX_PLUGS):
            with suppress(OSError):  # the backlog is empty
                while True:
                    accepted.append(listener.accept()[0])
            if _plug(listener):
                break
        listener.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            connection.setblocking(False)
            with suppress(OSError):  # the client has closed it
                await loop.connect_accepted_socket(self._make_protocol, connection)

    def _make_protocol(self) -> asyncio.Protocol:
        protocol_class: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _wait_while(self, condition: Callable[[], object], seconds: float) -> None:
        self._waits_until = time.monotonic() + seconds
        ticks = 0
        while condition() and time.monotonic() < self._waits_until:
            await asyncio.sleep(0.02)
            ticks += 1
            if ticks % 5 == 0:  # like uvicorn's own loop: updates the date and checks the parent
                await self.on_tick(ticks // 5)
