"""Databases of tests: statements on them, and sessions of an application on one connection."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Executable, Result, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from app.postgres.statement_count import count_statement
from app.postgres.statements import Statements

# What a database may take for, each by the setting of that name; 0 is without end.
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_timeout")
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


async def execute(database: URL, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))


class OneConnection(Statements):
    """Statements and transactions as savepoints of one connection's transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        self.connection = connection
        self.session_options = {"bind": connection, "join_transaction_mode": "create_savepoint"}

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        count_statement()
        async with self.connection.begin_nested():
            return await self.connection.execute(statement, parameters)


def add_revision(versions: Path) -> str:
    """Add a migration that changes nothing; the revision before it."""
    head = max(script.name for script in versions.glob("*.py"))[:4]
    script = f"revision, down_revision = 'next', '{head}'\ndef upgrade(): pass\n"
    (versions / "next.py").write_text(script)
    return head
