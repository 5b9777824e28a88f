"""Single statements: the way to the database of most requests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import Executable, Result
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.pool import QueuePool

from app.database.engine import transactional
from app.database.tally import count_statement, count_statements
from app.errors import Overloaded

# Seconds to wait for a connection.
PATIENCE = 2.0


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
        self._places = asyncio.Semaphore(places)
        self.waiting = 0

    async def __aenter__(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        self.waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


class Statements:
    """Runs statements one by one, each on a connection of its own and in its own transaction.

    To services it is a session: `execute` and `scalar` are those of AsyncSession. A request of one
    statement needs nothing else of it, and making an AsyncSession for it, with its identity map and
    its state, would cost a third of the statement again.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        inside = transactional(engine)
        count_statements(inside)
        self._transactions = async_sessionmaker(inside)
        assert isinstance(engine.pool, QueuePool)
        self._pool = engine.pool
        self._turn = Turn(self._pool.size())

    def load(self) -> Load:
        return Load(self._pool.size(), self._pool.checkedout(), self._turn.waiting)

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        count_statement()
        async with self._turn, self._engine.connect() as connection:
            return await connection.execute(statement, parameters)

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction, committed where the block ends and rolled back on raise."""
        async with self._turn, self._transactions.begin() as session:
            yield session


# What services work on: a transaction, or single statements. They cannot tell which.
Session = AsyncSession | Statements
