"""Fixtures: a transaction for keys, and loggers whose lines tests can capture."""

from collections.abc import AsyncIterator

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.auth import jwks, jwts, last_used


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    mode = "create_savepoint"
    async with AsyncSession(connection, join_transaction_mode=mode) as session:
        yield session


@pytest.fixture(autouse=True)
def fresh_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers keep the processors of their first use, which may be those of another test."""
    monkeypatch.setattr(last_used, "log", structlog.get_logger("satchel.keys"))
    for module in (jwks, jwts):
        monkeypatch.setattr(module, "log", structlog.get_logger("satchel.tokens"))
