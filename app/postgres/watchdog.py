"""Detects a database that does not respond at all, and ends all waiting for it.

A database that is stopped, or whose host has vanished, refuses nothing: statements and new
connections wait, each for its own timeout, and more requests queue up behind them. So the watchdog
sends a query on a connection of its own again and again. A refusal counts as a response, since
every caller gets it quickly. A busy event loop does not count as a silent database.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.postgres.background import running
from app.postgres.failures import FAILURES
from app.postgres.loop_timeout import loop_timeout

log = structlog.get_logger("satchel.database")

# From a response to the next probe.
PROBE_INTERVAL_SECONDS = 0.5
PROBE_TIMEOUT_SECONDS = 2.0


@asynccontextmanager
async def watchdog(engines: Sequence[AsyncEngine], probe: AsyncEngine) -> AsyncIterator[None]:
    """Watch the database of these engines through `probe` while the block runs, then dispose it."""
    try:
        async with running(_Watchdog(engines, probe).run()):
            yield
    finally:
        await probe.dispose()


class _Watchdog:
    def __init__(self, engines: Sequence[AsyncEngine], probe: AsyncEngine) -> None:
        self._probe = probe
        self._silent = False
        self._connections: WeakSet[Any] = WeakSet()
        for each in (*engines, probe):
            # Before SQLAlchemy's own listeners, which run statements on the new connection.
            event.listen(each.sync_engine, "connect", self._remember, insert=True)
        for each in engines:
            event.listen(each.sync_engine, "do_connect", self._refuse)

    def _remember(self, connection: Any, _entry: object) -> None:
        self._connections.add(connection.driver_connection)

    def _refuse(self, *_: object) -> None:
        if self._silent:
            raise ConnectionError("The database does not respond.")

    async def run(self) -> None:
        while True:
            probing = asyncio.create_task(self._responds())
            try:
                with suppress(TimeoutError):
                    async with loop_timeout(PROBE_TIMEOUT_SECONDS):
                        await asyncio.wait({probing})
                self._conclude(silent=not probing.done() or not probing.result())
                await probing
            finally:
                probing.cancel()
                await asyncio.wait({probing})
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def _responds(self) -> bool:
        try:
            async with self._probe.connect() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except TimeoutError:
            return False
        except Exception as error:
            if not isinstance(error, FAILURES):  # for example, a proxy with another protocol
                log.warning("probe failed", error=type(error).__name__)
        return True

    def _conclude(self, *, silent: bool) -> None:
        if silent and not self._silent:
            log.error("database silent", seconds=PROBE_TIMEOUT_SECONDS)
        elif self._silent and not silent:
            log.info("database answers again")
        self._silent = silent
        if silent:
            for connection in list(self._connections):
                connection.terminate()
