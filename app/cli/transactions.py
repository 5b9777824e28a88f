"""Runs what a command does to the database, in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.error_reports import reporting_errors
from app.config import Settings
from app.postgres.engine import make_engine
from app.postgres.retries import retry
from app.serving import server

T = TypeVar("T")


def in_transaction(work: Callable[[AsyncSession, Settings], Awaitable[T]]) -> T:
    """What the work returns; it may run again. The database is migrated if the mode says so."""

    async def run(settings: Settings) -> T:
        if settings.migrate_on_start:
            await server.migrate_database(url, settings)
        engine = make_engine(url, settings)

        async def run_once() -> T:
            async with AsyncSession(engine) as session, session.begin():
                return await work(session, settings)

        try:
            return await retry(run_once)
        finally:
            await engine.dispose()

    with reporting_errors() as settings, server.database_url(settings) as url:
        return asyncio.run(run(settings))
