"""What the commands of keys do: one transaction each, on the database of the mode."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import Settings
from app.postgres.engine import make_engine

T = TypeVar("T")


async def in_transaction(
    url: URL, settings: Settings, work: Callable[[AsyncSession], Awaitable[T]]
) -> T:
    """What the work returns, once it is committed. Errors: those of the work and the database."""
    engine = make_engine(url, settings)
    try:
        async with AsyncSession(engine) as session, session.begin():
            return await work(session)
    finally:
        await engine.dispose()
