"""Each request counts its statements, including those that it shares with others."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from uuid import uuid4

import pytest
from sqlalchemy import URL, text

from app.accounts.service import ACCOUNTS
from app.errors import AccountNotFound
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from app.postgres.statement_count import start_statement_count
from app.postgres.statements import Statements
from app.resources.reads import get
from tests.applications import make_settings

ONE = text("SELECT 1")


@pytest.fixture
async def statements(database: URL) -> AsyncIterator[Statements]:
    statements = Statements(make_engine(database, make_settings(), autocommit=True))
    yield statements
    await statements.close()


async def test_single_statements_and_transactions(statements: Statements) -> None:
    count = start_statement_count()
    await statements.execute(ONE)
    await statements.scalar(ONE)
    assert count.statements == 2
    async with request_session(statements) as session:
        await session.execute(ONE)
        await session.execute(ONE)
    assert count.statements == 4


async def test_a_shared_read_counts_for_each_caller(statements: Statements) -> None:
    sizes: list[int] = []
    statements.on_read = sizes.append

    async def request(reads: int) -> int:
        count = start_statement_count()
        async with request_session(statements) as session:
            for _ in range(reads):
                with pytest.raises(AccountNotFound):
                    await get(session, ACCOUNTS, uuid4())
        return count.statements

    assert await asyncio.gather(*map(request, [1, 2, 3, 1, 1, 1, 1])) == [1, 2, 3, 1, 1, 1, 1]
    assert sum(sizes) == 10
    assert max(sizes) > 1  # else no read was shared


async def test_statements_outside_of_requests_do_not_count(statements: Statements) -> None:

    async def alone() -> int:
        return int(await statements.scalar(ONE))

    count = start_statement_count()
    assert await asyncio.create_task(alone(), context=Context()) == 1
    assert count.statements == 0
