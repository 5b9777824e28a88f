"""Databases of tests: statements on them, and sessions of an application on one connection."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
)
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Executable, Result, Row, event, text
from sqlalchemy.engine import IteratorResult
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from app.postgres.compiled import CompiledStatements, is_observed
from app.postgres.copies import Copies
from app.postgres.statement_count import count_statement
from app.postgres.statements import Statements
from app.serving.folders import temporary_folder
from tests.environment import ISOLATION

# Makes databases, which are dropped after use.
CloneDatabase = Callable[[], AbstractAsyncContextManager[URL]]

# What a database may take for, each by the setting of that name; 0 is without end.
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_timeout")
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "64MB",  # it is in memory too
    "default_transaction_isolation": ISOLATION,
}


class _Pooler(Protocol):
    def url_of(self, database: URL) -> URL: ...


# What is between all applications of a run and their databases, by the URL of the server.
POOLERS: dict[URL, _Pooler] = {}

_MEMORY = Path("/dev/shm")
_ROOM = 2 * 2**30  # bytes, for the servers of some processes; containers have 64 MB there


def server_folder() -> AbstractContextManager[Path]:
    """A folder for a server, in memory where there is room. Its name is short, for sockets."""
    room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM
    return temporary_folder("satchel-test-", _MEMORY if room else None)


async def execute(database: URL, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))


def pooled(database: URL) -> URL | None:
    """The URL of a database through the pooler that is in front of it in this run, if one is."""
    pooler = POOLERS.get(database.set(database=""))
    return None if pooler is None else pooler.url_of(database)


def serving_settings(database: URL) -> dict[str, str]:
    """The settings of an application that serves a database in this run."""
    direct, through = database.render_as_string(hide_password=False), pooled(database)
    if through is None:
        return {"test_database_url": direct}
    return {
        "test_database_url": through.render_as_string(hide_password=False),
        "database_pooler": "transaction",
        "migration_database_url": direct,
    }


# All parts of a schema, as the server describes them.
SCHEMA = {
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "columns": """
        SELECT table_name, column_name, ordinal_position, data_type, character_maximum_length,
            numeric_precision, numeric_scale, collation_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "others": """
        SELECT relname, relkind FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')""",
}


async def describe(engine: AsyncEngine) -> dict[str, set[tuple[Any, ...]]]:
    """The schema of a database, without Alembic's own table."""
    found = {}
    async with engine.connect() as connection:
        for kind, query in SCHEMA.items():
            rows = (tuple(row) for row in await connection.execute(text(query)))
            found[kind] = {row for row in rows if "alembic_version" not in row}
    return found


# Beginnings of the names of columns whose values differ between two runs.
_FROM_CLOCK = ("created", "updated", "seconds_left")
# Shared, so that most statements of a test are not the first of their kind.
_COMPILED = CompiledStatements()


class OneConnection(Statements):
    """Statements and transactions as savepoints of one connection's transaction.

    Each statement runs twice, once as SQLAlchemy runs it and once as `CompiledStatements` does: so
    whatever statements tests run on it, both ways give the same rows, types and errors.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        event.remove(connection.engine.sync_engine, "connect", self._adopt)  # there is one
        self.compiled = _COMPILED
        self.connection = connection
        self.session_options = {"bind": connection, "join_transaction_mode": "create_savepoint"}

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        writes: bool = False,
    ) -> Result[Any]:
        count_statement()
        if is_observed(self.connection):
            async with self.connection.begin_nested():
                return await self.connection.execute(statement, parameters)
        expected = await self._expected(statement, parameters)
        driver = (await self.connection.get_raw_connection()).driver_connection
        async with self.connection.begin_nested():
            try:
                result = await self.compiled.execute(self.connection, driver, statement, parameters)
            except Exception as error:
                require_same(shown(error), expected)
                raise
        if isinstance(result, IteratorResult):
            records = list(result.iterator)
            result.iterator = iter(records)
            rows: Any = IteratorResult(result._metadata, iter(records)).all()
            require_same(shown(rows), expected)
        return result

    async def _expected(self, statement: Executable, parameters: Mapping[str, Any] | None) -> Any:
        """What SQLAlchemy itself makes of a statement, without a trace of it."""
        async with self.connection.begin_nested() as savepoint:
            rows: Sequence[Row[Any]]
            try:
                result = await self.connection.execute(statement, parameters)
                rows = result.all() if result.returns_rows else []
            except Exception as error:
                return shown(error)
            finally:
                await savepoint.rollback()
        return shown(rows)


class OneConnectionCopies(Copies):
    """Copies of what one connection's transaction sees."""

    _transaction: Mapping[str, Any] = {}  # a savepoint

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine, limit=1, time_limit=0)
        self.connection = connection

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        async with self.connection.begin_nested():
            yield (await self.connection.get_raw_connection()).driver_connection


def require_same(actual: Any, expected: Any) -> None:
    assert actual == expected


def shown(outcome: Exception | Sequence[Row[Any]]) -> Any:
    """What must be the same whichever way a statement ran."""
    if isinstance(outcome, DBAPIError):
        return type(outcome), type(outcome.orig), str(outcome), outcome.connection_invalidated
    if isinstance(outcome, Exception):
        return type(outcome), str(outcome)
    return [
        {
            name: (type(value), None if name.startswith(_FROM_CLOCK) else value)
            for name, value in zip(row._fields, row, strict=True)
        }
        for row in outcome
    ]


def add_revision(versions: Path, statement: str = "SELECT 1") -> str:
    """Add a migration that runs this statement; the revision before it."""
    head = max(script.name for script in versions.glob("*.py"))[:4]
    script = f"""from alembic import op

revision, down_revision = "next", "{head}"


def upgrade() -> None:
    op.execute("{statement}")
"""
    (versions / "next.py").write_text(script)
    return head
