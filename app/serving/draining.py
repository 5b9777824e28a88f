"""Leaving without losing a request: not ready first, then deaf, then gone."""

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

# Seconds in which a signal that comes again is no second one: a terminal sends Ctrl-C to all
# processes, and one that started us may pass it on.
ECHO = 1.0
# Seconds that a connection without a request has for sending one, when no new ones are accepted.
LINGER = 0.5
# Seconds for cancelled requests to be told so, and for their statements to end.
LAST_WORDS = 2.0
_CLOSE = (b"connection", b"close")


def is_draining(scope: Scope) -> bool:
    """Whether the server of this request has been told to leave."""
    return "draining" in scope["state"]


class DrainingServer(uvicorn.Server):
    """uvicorn's server, except that it does not close its socket the moment it is told to leave.

    For `delay` seconds it serves on, no longer ready and closing each connection with its answer,
    so that balancers can look away. Then it accepts no more connections and leaves when all that
    came in is answered; what is not after `grace` seconds is cancelled, and told so. Each further
    signal ends the wait that is under way.
    """

    def __init__(self, config: uvicorn.Config, delay: float, grace: float) -> None:
        super().__init__(config)
        self.delay = delay
        self.grace = grace
        self._waits_until = 0.0
        self._signalled = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.should_exit and now - self._signalled < ECHO:
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
        if "draining" not in self.lifespan.state:  # told so while it started: there was no loop
            self._drain()
        listeners = [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for listener in listeners:
            await self._accept_the_last_of(listener)
        connections, tasks = self.server_state.connections, self.server_state.tasks
        # A connection without a request is closed, but one may be on its way.
        await self._wait_while(lambda: connections, LINGER)
        for connection in list(connections):
            connection.shutdown()
        await self._wait_while(lambda: connections or tasks, self.grace)
        if tasks:
            log.warning("cancelled", requests=len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_WORDS)
        await super().shutdown(sockets)

    async def _accept_the_last_of(self, listener: socket.socket) -> None:
        """Take what the system has accepted for us: closing the socket alone would reset it."""
        listener.setblocking(False)
        accepted = []
        with suppress(OSError):  # there are no more
            while True:
                accepted.append(listener.accept()[0])
        listener.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            connection.setblocking(False)
            with suppress(OSError):  # it has gone away already
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
            if ticks % 5 == 0:  # as uvicorn's own loop does: the date moves on, the parent may die
                await self.on_tick(ticks // 5)
