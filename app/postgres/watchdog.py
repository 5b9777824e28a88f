"""Detects a database that does not respond at all, and ends all waiting for it.

A database that is stopped, or whose host has vanished, refuses nothing: statements and new
connections wait, each for its own timeout, and more requests queue up behind them. So the watchdog
sends a query on a connection of its own again and again. If it is not answered, all connections to
that host are closed. If only new ones are not answered, those that are open may be good, and stay.
A refusal counts as a response, since every caller gets it quickly. A busy event loop does not count
as a silent database.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from weakref import WeakSet

import structlog
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import hosts_of
from app.postgres.background import running
from app.postgres.failures import FAILURES
from app.postgres.hosts import try_last
from app.postgres.loop_timeout import loop_timeout

log = structlog.get_logger("satchel.database")

# From a response to the next probe.
PROBE_INTERVAL_SECONDS = 0.5
PROBE_TIMEOUT_SECONDS = 2.0
_SILENT: Final = "silent"


@asynccontextmanager
async def watchdog(
    engines: Sequence[AsyncEngine], probe: AsyncEngine, server: str = "primary"
) -> AsyncIterator[None]:
    """Watch the database of these engines through `probe` while the block runs, then dispose it.

    server: what it is called in the log.
    """
    try:
        async with running(_Watchdog(engines, probe, server).run()):
            yield
    finally:
        await probe.dispose()


class _Watchdog:
    def __init__(self, engines: Sequence[AsyncEngine], probe: AsyncEngine, server: str) -> None:
        self._probe = probe
        self._server = server
        self._hosts = max(1, len(hosts_of(probe.url)))
        # The connection of the last probe, and whether that is past its set-up.
        self._driver: Any = None
        self._is_asked = False
        # Whether any probe was answered.
        self._has_answered = False
        # The error with which the last probe was refused.
        self._refusal: str | None = None
        # What the log says of the database: "silent", a refusal, or None if it answers.
        self._state: str | None = None
        self._connections: WeakSet[Any] = WeakSet()
        for each in (*engines, probe):
            # Before SQLAlchemy's own listeners, which run statements on the new connection.
            event.listen(each.sync_engine, "connect", self._remember, insert=True)
        event.listen(probe.sync_engine, "connect", self._note_own, insert=True)
        for each in engines:
            event.listen(each.sync_engine, "do_connect", self._refuse)

    def _remember(self, connection: Any, _entry: object) -> None:
        self._connections.add(connection.driver_connection)

    def _note_own(self, connection: Any, _entry: object) -> None:
        self._driver = connection.driver_connection

    def _refuse(self, *_: object) -> None:
        if self._state == _SILENT:
            raise ConnectionError("The database does not respond.")

    async def run(self) -> None:
        while True:
            is_connected = self._driver is not None and not self._driver.is_closed()
            # Each host has a time limit of its own for a new connection.
            seconds = PROBE_TIMEOUT_SECONDS * (1 if is_connected else self._hosts)
            probing = asyncio.create_task(self._responds())
            try:
                with suppress(TimeoutError):
                    async with loop_timeout(seconds):
                        await asyncio.wait({probing})
                self._conclude(silent=not probing.done() or not probing.result())
                await probing
            finally:
                probing.cancel()
                await asyncio.wait({probing})
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def _responds(self) -> bool:
        self._is_asked, self._refusal = False, None
        try:
            async with self._probe.connect() as connection:
                self._is_asked = True
                await connection.exec_driver_sql("SELECT 1")
                self._has_answered = True
        except TimeoutError:
            return False
        except FAILURES as error:
            raised = error.driver_exception if isinstance(error, DBAPIError) else error
            self._refusal = type(raised).__name__
        except Exception as error:  # for example, a proxy with another protocol
            log.warning("probe failed", error=type(error).__name__)
        return True

    def _conclude(self, *, silent: bool) -> None:
        state = _SILENT if silent else self._refusal
        if state != self._state:
            self._state = state
            if silent:
                log.error("database silent", server=self._server, seconds=PROBE_TIMEOUT_SECONDS)
            elif state is not None:
                log.warning("database refuses", server=self._server, error=state)
            else:
                log.info("database answers again", server=self._server)
        if silent:
            if self._is_asked:
                try_last(self._driver.address)
            for connection in list(self._connections):
                if self._is_silent(connection):
                    connection.drop()

    def _is_silent(self, connection: Any) -> bool:
        """Whether a connection is to be closed, like that of the probe."""
        if self._is_asked:
            return bool(connection.address == self._driver.address)
        # There is no answer to a new connection. Others may be good, if one ever was.
        return connection is self._driver or not self._has_answered
