"""Notices a database that says nothing at all, and ends all waiting for it.

One that is stopped, or whose host has vanished, refuses nothing: statements and connections wait,
each for its own time, and whoever comes next waits for them. So a connection of its own is asked
now and then. Any answer will do, a refusal too, since that is quick and everybody gets it. Where it
is our own event loop that has no time, nothing is said of the database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.postgres.failures import FAILURES
from app.postgres.patience import patience

log = structlog.get_logger("satchel.database")

INTERVAL = 0.5  # seconds between an answer and the next question
PATIENCE = 2.0  # seconds to wait for one


@asynccontextmanager
async def watching(engine: AsyncEngine, probe: AsyncEngine) -> AsyncIterator[None]:
    """Watches the database of `engine` by way of `probe` while the block runs."""
    task = asyncio.create_task(_Watch(engine, probe).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await probe.dispose()


class _Watch:
    def __init__(self, engine: AsyncEngine, probe: AsyncEngine) -> None:
        self._probe = probe
        self._silent = False
        self._connections: WeakSet[Any] = WeakSet()
        for each in (engine, probe):
            # Before SQLAlchemy's own listeners, which ask the new connection things and wait.
            event.listen(each.sync_engine, "connect", self._remember, insert=True)
        event.listen(engine.sync_engine, "do_connect", self._refuse)

    def _remember(self, connection: Any, _entry: object) -> None:
        self._connections.add(connection.driver_connection)

    def _refuse(self, *_: object) -> None:
        if self._silent:
            raise ConnectionError("The database does not answer.")

    async def run(self) -> None:
        while True:
            asked = asyncio.create_task(self._ask())
            try:
                with suppress(TimeoutError):
                    async with patience(PATIENCE):
                        await asyncio.wait({asked})
                self._conclude(silent=not asked.done() or not asked.result())
                await asked
            finally:
                asked.cancel()
                await asyncio.wait({asked})
            await asyncio.sleep(INTERVAL)

    async def _ask(self) -> bool:
        """Whether there was an answer."""
        try:
            async with self._probe.connect() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except TimeoutError:
            return False
        except Exception as error:  # of a proxy perhaps that speaks another protocol
            if not isinstance(error, FAILURES):
                log.warning("probe failed", error=type(error).__name__)
        return True

    def _conclude(self, *, silent: bool) -> None:
        if silent and not self._silent:
            log.error("database silent", seconds=PATIENCE)
        elif self._silent and not silent:
            log.info("database answers again")
        self._silent = silent
        if silent:
            for connection in list(self._connections):
                connection.terminate()
