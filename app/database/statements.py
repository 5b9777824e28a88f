"""Single statements: the way to the database of most requests."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy import Executable, Result
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.database.engine import transactional


class Statements:
    """Runs statements one by one, each on a connection of its own and in its own transaction.

    To services it is a session: `execute` and `scalar` are those of AsyncSession. A request of one
    statement needs nothing else of it, and making an AsyncSession for it, with its identity map and
    its state, would cost a third of the statement again.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._transactions = async_sessionmaker(transactional(engine))

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        async with self._engine.connect() as connection:
            return await connection.execute(statement, parameters)

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction, committed where the block ends and rolled back on raise."""
        return self._transactions.begin()


# What services work on: a transaction, or single statements. They cannot tell which.
Session = AsyncSession | Statements
