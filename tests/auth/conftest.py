"""Fixture: a transaction for keys."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    mode = "create_savepoint"
    async with AsyncSession(connection, join_transaction_mode=mode) as session:
        yield session
