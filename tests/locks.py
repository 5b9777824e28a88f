"""Waits until statements are held up by another transaction, rather than for a guessed time."""

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.waiting import until

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def held_up(database: URL, backends: int = 1) -> None:
    """Return once this many backends wait for a lock in this database."""
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:

        async def waiting() -> bool:
            return bool(await connection.scalar(_WAITING) == backends)

        await until(waiting, f"there are not {backends} that wait for a lock")
