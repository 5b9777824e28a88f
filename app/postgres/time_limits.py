"""Other time limits for the statements of one transaction than those of the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.postgres.engine import SERVER_LIMITS, STATEMENT_GRACE_SECONDS


def set_time_limit(seconds: float) -> ColumnElement[str]:
    """A column for a SELECT, which sets the server's limit for the rest of its transaction."""
    return func.set_config("statement_timeout", str(round(seconds * 1000)), True)


def lifting_limits() -> Select[Any]:
    """A statement that lifts all limits of the server for the rest of its transaction."""
    return select(*(func.set_config(name, "0", True) for name in SERVER_LIMITS))


@asynccontextmanager
async def waiting_longer(session: AsyncSession, seconds: float) -> AsyncIterator[None]:
    """In the block, the driver too waits so long for the responses to a session's statements.

    It takes its limit from the configuration of its connection, which cannot be changed otherwise.
    """
    connection = await (await session.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    usual = driver._config
    driver._config = usual._replace(command_timeout=seconds + STATEMENT_GRACE_SECONDS)
    try:
        yield
    finally:
        driver._config = usual
