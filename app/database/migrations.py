"""Bringing a database to a revision of the schema, by one process at a time."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic import command

ROOT = Path(__file__).parent.parent.parent
# Any number, the same in every version of Satchel: "satchel" in ASCII.
_LOCK = 0x7361746368656C


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    return config


def older_revisions() -> frozenset[str]:
    """The revisions before the one that this build needs. One that is unknown is newer."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return frozenset(script.revision for script in scripts if not script.is_head)


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Upgrade to a revision. Instances that start together wait for one another."""
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade, revision)


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision that the database is at; None: it was never migrated."""
    async with engine.connect() as connection:
        return await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision()
        )


def autogenerate(connection: Connection, message: str) -> None:
    """Write the migration from the schema of this database to that of the models."""
    count = len(list(ScriptDirectory.from_config(alembic_config()).walk_revisions()))
    config = alembic_config(connection)
    command.revision(config, message, autogenerate=True, rev_id=f"{count + 1:04}")


def _upgrade(connection: Connection, revision: str) -> None:
    # Waiting for the other instance may take as long as its migration; waiting for a table behind
    # a long query may not, for every other query would queue up behind us.
    connection.execute(text("SET lock_timeout = '120s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()
    try:
        command.upgrade(alembic_config(connection), revision)
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.execute(text("RESET lock_timeout"))
        connection.commit()
