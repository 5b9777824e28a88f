"""Waits until statements are held up by another transaction, rather than for a guessed time."""

import asyncio

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.waiting import PATIENCE

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def held_up(database: URL, backends: int = 1) -> None:
    """Return once this many backends wait for a lock in this database; fail where they never do."""
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with asyncio.timeout(PATIENCE), engine.connect() as connection:
        while await connection.scalar(_WAITING) != backends:
            pass  # each look takes its time
