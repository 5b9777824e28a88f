"""Single statements: the way to the database of most requests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Executable, Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.pool import QueuePool

from app.database.engine import transactional
from app.errors import Overloaded

# Seconds to wait for a connection.
PATIENCE = 2.0


class Turn:
    """Lets so many in at a time, first come, first served.

    The pool gives a connection to whoever asks at the right moment, so that under load some wait
    for many others. Errors: Overloaded, where the turn does not come in time.
    """

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)

    async def __aenter__(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded from None

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Statements:
    """Runs statements one by one, each in its own transaction.

    To services it is a session: `execute` and `scalar` are those of AsyncSession. A request of one
    statement needs nothing else of it, and making an AsyncSession for it, with its identity map and
    its state, would cost a third of the statement again. For the same reason connections stay out
    of the pool between statements: taking one out and putting it back costs as much as a statement.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """On an engine in AUTOCOMMIT, of which nobody else takes connections."""
        self._engine = engine
        self._transactions = async_sessionmaker(transactional(engine))
        assert isinstance(engine.pool, QueuePool)
        self._turn = Turn(engine.pool.size())
        self._idle: list[AsyncConnection] = []

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        async with self._turn:
            connection = self._idle.pop() if self._idle else await self._engine.connect()
            try:
                result = await connection.execute(statement, parameters)
            except BaseException as error:
                # The pool knows which of its connections are still good.
                await asyncio.shield(connection.close())
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    await self._release()
                raise
            self._idle.append(connection)
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
                await self._idle.pop().close()
            async with self._transactions.begin() as session:
                yield session

    async def close(self) -> None:
        """Close all connections; the next statement would open others."""
        await self._release()
        await self._engine.dispose()

    async def _release(self) -> None:
        while self._idle:
            await self._idle.pop().close()


# What services work on: a transaction, or single statements. They cannot tell which.
Session = AsyncSession | Statements
