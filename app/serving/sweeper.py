"""Deletes expired idempotency keys, a batch at a time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy import URL

from app.api.idempotency_keys import SWEEP_SIZE, sweep
from app.config import Settings
from app.errors import Overloaded
from app.postgres.engine import make_engine
from app.postgres.failures import FAILURES
from app.postgres.statements import Statements

log = structlog.get_logger("satchel.sweeper")

INTERVAL = 600.0  # seconds, on average


async def sweep_all(statements: Statements) -> int:
    """Delete all that has expired and return how many keys it was."""
    total = 0
    while True:
        swept = await sweep(statements)
        total += swept
        if swept < SWEEP_SIZE:
            return total


async def sweep_database(url: URL, settings: Settings) -> int:
    """Sweep once, where no server runs."""
    statements = Statements(make_engine(url, settings, autocommit=True))
    try:
        return await sweep_all(statements)
    finally:
        await statements.close()


@asynccontextmanager
async def sweeping(statements: Statements) -> AsyncIterator[None]:
    """Sweeps now and then while the block runs."""
    task = asyncio.create_task(_sweep_now_and_then(statements))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_now_and_then(statements: Statements) -> None:
    while True:
        # Spread, so that many workers do not sweep at once.
        await asyncio.sleep(INTERVAL * random.uniform(0.5, 1.5))
        try:
            swept = await sweep_all(statements)
        except (*FAILURES, Overloaded) as error:
            log.warning("sweep failed", error=type(error).__name__)
        else:
            log.debug("swept", keys=swept)
