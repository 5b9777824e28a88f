"""Deletes expired idempotency keys, a batch at a time."""

import asyncio
import random

import structlog
from sqlalchemy import URL

from app.api.idempotency_keys import SWEEP_SIZE, sweep
from app.config import Settings
from app.errors import Overloaded
from app.postgres.engine import make_engine
from app.postgres.failures import FAILURES
from app.postgres.statements import Statements

log = structlog.get_logger("satchel.sweeper")

# The average time between two sweeps.
SWEEP_INTERVAL_SECONDS = 600.0


async def sweep_all(statements: Statements) -> int:
    """Delete all expired keys and return their number."""
    total = 0
    while True:
        swept = await sweep(statements)
        total += swept
        if swept < SWEEP_SIZE:
            return total


async def sweep_database(url: URL, settings: Settings) -> int:
    """Sweep once, without a server. Returns the number of keys that were deleted."""
    statements = Statements(make_engine(url, settings, autocommit=True))
    try:
        return await sweep_all(statements)
    finally:
        await statements.close()


async def sweep_periodically(statements: Statements) -> None:
    while True:
        # Random, so that workers do not sweep at the same time.
        await asyncio.sleep(SWEEP_INTERVAL_SECONDS * random.uniform(0.5, 1.5))
        try:
            swept = await sweep_all(statements)
        except (*FAILURES, Overloaded) as error:
            log.warning("sweep failed", error=type(error).__name__)
        else:
            log.debug("swept", keys=swept)
