"""Migrates a database to a revision of the schema, one process at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.postgres.refolding import Folded, refold

_PACKAGE = Path(str(files("app")))
# The folder of alembic.ini and alembic/. In wheels it is the package itself.
ROOT = _PACKAGE if (_PACKAGE / "alembic.ini").is_file() else _PACKAGE.parent
# The key of the advisory lock, "satchel" in ASCII. It must never change.
_LOCK_KEY = 0x7361746368656C
# How long to wait for another instance that migrates.
LOCK_TIMEOUT_SECONDS: float = 120
# From one of its tries to the next.
LOCK_TRY_SECONDS = 0.2
# A migration must not wait long for a table's lock, since all other queries would queue up behind
# it, nor hold its locks for long.
LIMITS = {"lock_timeout": "5s", "statement_timeout": "10min"}


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    return config


def _scripts() -> list[Script]:
    return list(ScriptDirectory.from_config(alembic_config()).walk_revisions())


def older_revisions() -> frozenset[str]:
    """The revisions before the one that this build needs. Unknown revisions are newer ones."""
    return frozenset(script.revision for script in _scripts() if not script.is_head)


async def migrate(
    engine: AsyncEngine, revision: str = "head", folded: Sequence[Folded] = ()
) -> None:
    """Upgrade to a revision, then recompute columns. Instances that migrate at the same time wait
    for each other.

    The database of a newer build stays as it is, so that a build can be rolled back.
    Errors: RefoldingError, and those of the database.
    """
    async with _alone(engine), engine.connect() as connection:
        await connection.run_sync(_upgrade, revision, folded)


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """Waits for other instances that migrate. Those that come meanwhile wait for the block's end.

    The lock is that of a transaction on a connection of its own, since a migration has several.
    """
    async with engine.connect() as connection:
        await connection.run_sync(Connection.detach)  # takes no place in the pool
        async with connection.begin():
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
            await _lock(connection)
            yield


async def _lock(connection: AsyncConnection) -> None:
    """Errors: TimeoutError, and those of the database."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    is_locked = False
    while not is_locked:
        is_locked = await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_LOCK_KEY})"))
        # Ends the snapshot of that query. Indexes that are built concurrently wait for snapshots.
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not is_locked:
            if time.monotonic() > deadline:
                raise TimeoutError("Another instance migrates and does not end.")
            await asyncio.sleep(LOCK_TRY_SECONDS)


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision of the database; None if it was never migrated."""
    async with engine.connect() as connection:
        return await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision()
        )


def autogenerate(connection: Connection, message: str) -> None:
    """Write the migration from the schema of this database to that of the models."""
    revision = f"{len(_scripts()) + 1:04}"
    command.revision(alembic_config(connection), message, autogenerate=True, rev_id=revision)


def _upgrade(connection: Connection, revision: str, folded: Sequence[Folded]) -> None:
    # What others write meanwhile is kept out by locks. A stricter transaction would fail instead.
    settings = {"default_transaction_isolation": "read committed", **LIMITS}
    for name, value in settings.items():
        connection.execute(text(f"SET {name} = '{value}'"))
    connection.commit()
    try:
        with connection.begin():
            current = MigrationContext.configure(connection).get_current_revision()
        if current is None or current in {script.revision for script in _scripts()}:
            command.upgrade(alembic_config(connection), revision)
            for one in folded:
                refold(connection, one)
    finally:
        connection.rollback()
        for name in settings:
            connection.execute(text(f"RESET {name}"))
        connection.commit()
