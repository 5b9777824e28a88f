"""Records when API keys were last used: once a minute at most, and never in a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import ARRAY, Uuid, any_, bindparam, or_, update
from sqlalchemy.exc import SQLAlchemyError

from app.auth.key_lookup import KeyLookup
from app.auth.keys import KEYS, NOW, TABLE
from app.errors import Problem
from app.postgres.background import running
from app.postgres.statements import Statements

log = structlog.get_logger("satchel.keys")

INTERVAL_SECONDS: Final = 60.0
SHUTDOWN_TIMEOUT_SECONDS: Final = 2.0

# Another process may have recorded the same key.
_WRITE: Final = (
    update(TABLE)
    .where(
        KEYS.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
        or_(KEYS.last_used.is_(None), KEYS.last_used <= NOW - timedelta(seconds=INTERVAL_SECONDS)),
    )
    .values(last_used=NOW)
)


async def write_uses(lookup: KeyLookup, statements: Statements) -> None:
    """Record the keys used since the last call. If the database fails, the next call does."""
    ids, lookup.used = lookup.used, set()
    if not ids:
        return
    try:
        await statements.execute(_WRITE, {"ids": sorted(ids)})
    except (SQLAlchemyError, OSError, Problem) as error:
        lookup.used |= ids
        log.warning("uses of keys not written", error=type(error).__name__)


@asynccontextmanager
async def writing_uses(
    lookup: KeyLookup, statements: Statements, interval: float = INTERVAL_SECONDS
) -> AsyncIterator[None]:
    """Record uses every `interval` seconds while the block runs, and once more at its end."""

    async def write_repeatedly() -> None:
        while True:
            await asyncio.sleep(interval)
            await write_uses(lookup, statements)

    try:
        async with running(write_repeatedly()):
            yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_SECONDS):
                await write_uses(lookup, statements)
