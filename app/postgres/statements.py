"""Single statements: the way to the database of most requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import Executable, Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.pool import QueuePool

from app.errors import Overloaded
from app.postgres.coalescing import Batches
from app.postgres.engine import RECYCLE_SECONDS, transactional
from app.postgres.statement_count import count_statement, count_statements

# Seconds to wait for a connection.
PATIENCE = 2.0
# A connection, the driver's own, and since when it is out of the pool.
Idle = tuple[AsyncConnection, Any, float]


class Load(NamedTuple):
    """Connections that there may be, that are in use, and callers that wait for one."""

    size: int
    in_use: int
    waiting: int


class Turn:
    """Lets so many in at a time, first come, first served.

    The pool gives a connection to whoever asks at the right moment, so that under load some wait
    for many others. Errors: Overloaded, where the turn does not come in time.
    """

    def __init__(self, places: int) -> None:
        self._free = asyncio.Semaphore(places)
        self.places = places
        self.taken = 0
        self.waiting = 0

    async def __aenter__(self) -> None:
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        self.taken += 1

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self.taken -= 1
        self._free.release()


class Statements:
    """Runs statements one by one, each in its own transaction.

    To services it is a session: `execute` and `scalar` are those of AsyncSession. A request of one
    statement needs nothing else of it, and making an AsyncSession for it, with its identity map and
    its state, would cost a third of the statement again. For the same reason connections stay out
    of the pool between statements: taking one out and putting it back costs as much as a statement.
    """

    def __init__(self, engine: AsyncEngine, on_batch: Callable[[int], object] = int) -> None:
        """On an engine in AUTOCOMMIT, of which nobody else takes connections.

        `on_batch` is told how many rows each statement inserts that serves several requests.
        """
        self._engine = engine
        inside = transactional(engine)
        count_statements(inside)
        self._transactions = async_sessionmaker(inside)
        assert isinstance(engine.pool, QueuePool)
        self._turn = Turn(engine.pool.size())
        self._idle: list[Idle] = []
        self.on_batch = on_batch
        # By what they do; who has one makes it.
        self.gathered: dict[object, Batches[Any, Any]] = {}

    def load(self) -> Load:
        return Load(self._turn.places, self._turn.taken, self._turn.waiting)

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        count_statement()
        async with self._turn:
            connection, driver, since = await self._take()
            try:
                result = await connection.execute(statement, parameters)
            except BaseException as error:
                # The pool knows which of its connections are still good.
                await asyncio.shield(connection.close())
                if isinstance(error, OSError) or (
                    isinstance(error, DBAPIError) and error.connection_invalidated
                ):
                    await self._release()
                raise
            self._idle.append((connection, driver, since))
            return result

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction, committed where the block ends and rolled back on raise."""
        async with self._turn:
            if self._idle:  # there are as many turns as connections: one must be in the pool
                await self._idle.pop()[0].close()
            async with self._transactions.begin() as session:
                yield session

    async def close(self) -> None:
        """Close all connections; the next statement would open others."""
        await self._release()
        await self._engine.dispose()

    async def _take(self) -> Idle:
        now = time.monotonic()
        while self._idle:
            connection, driver, since = self._idle.pop()
            # After a restart of the database all are closed. The pool replaces them, and old ones.
            if not driver.is_closed() and now - since < RECYCLE_SECONDS:
                return connection, driver, since
            await connection.close()
        connection = await self._engine.connect()
        return connection, (await connection.get_raw_connection()).driver_connection, now

    async def _release(self) -> None:
        while self._idle:
            await self._idle.pop()[0].close()


# What services work on: a transaction, or single statements. They cannot tell which.
Session = AsyncSession | Statements
