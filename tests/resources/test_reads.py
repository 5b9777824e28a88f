"""Rows by id, those of many requests in one statement."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import URL, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.accounts.service import ACCOUNTS
from app.errors import AccountNotFound
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from app.resources import inserts, reads
from tests.applications import make_settings


@pytest.fixture
def sizes() -> list[int]:
    """How many ids each statement read."""
    return []


@pytest.fixture
async def engine(database: URL) -> AsyncEngine:
    return make_engine(database, make_settings(), autocommit=True)


@pytest.fixture
async def statements(engine: AsyncEngine, sizes: list[int]) -> AsyncIterator[Statements]:
    statements = Statements(engine, on_read=sizes.append)
    yield statements
    await statements.close()


async def create(statements: Statements, name: str) -> UUID:
    email = f"{name}@example.com"
    fields = {"email": email, "email_key": email, "username": name, "dob": None}
    async with request_session(statements) as session:
        values = {**fields, "country": None, "phone_number": None}
        return (await inserts.create(session, ACCOUNTS, values))["id"]


async def name_of(statements: Statements, row_id: UUID) -> str | None:
    async with request_session(statements) as session:
        try:
            return (await reads.get(session, ACCOUNTS, row_id))["username"]
        except AccountNotFound:
            return None


async def test_each_request_gets_its_own_row(
    engine: AsyncEngine, statements: Statements, sizes: list[int]
) -> None:
    names = [f"n{number}" for number in range(20)]
    ids = [await create(statements, name) for name in names]
    asked = [*ids, uuid4(), ids[0], ids[0]]
    read: list[Sequence[UUID]] = []

    def record(*of: Any) -> None:
        (asked,) = of[3]
        read.append(asked if isinstance(asked, list) else [asked])

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    found = await asyncio.gather(*(name_of(statements, row_id) for row_id in asked))
    assert found == [*names, None, "n0", "n0"]
    assert sum(sizes) == len(asked)
    assert max(sizes) > 10  # or nothing was shared
    assert sum(map(len, read)) == len(asked) - 1  # an id that two ask for is read once
    assert all(len(set(ids)) == len(ids) for ids in read)


async def test_what_a_transaction_has_written_it_reads(
    statements: Statements, sizes: list[int]
) -> None:
    row_id = await create(statements, "ada")
    async with request_session(statements) as session:
        await session.execute(text("UPDATE accounts SET username = 'eve'"))
        assert (await reads.get(session, ACCOUNTS, row_id))["username"] == "eve"
        assert await reads.exists(session, ACCOUNTS, row_id)
        assert await name_of(statements, row_id) == "ada"  # as all others see it
    assert await name_of(statements, row_id) == "eve"
    assert len(sizes) == 2


async def test_a_row_that_is_required_and_missing(statements: Statements) -> None:
    async with request_session(statements) as session:
        await reads.require(session, ACCOUNTS, await create(statements, "ada"))
        with pytest.raises(AccountNotFound):
            await reads.require(session, ACCOUNTS, uuid4())
