"""Cancelled requests leave no connection, statement or transaction behind."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.accounts.service import ACCOUNTS
from app.errors import AccountNotFound
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from app.resources.reads import get
from tests.applications import client_of, running_app
from tests.databases import execute
from tests.factories import create_account
from tests.waiting import PATIENCE

POOL = 2
LEFT = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'satchel' AND state <> 'idle'"
)

pytestmark = pytest.mark.slow


async def cancelled_at_many_points(work: Callable[[], Awaitable[Any]], *, ends: bool = True) -> int:
    """Run it repeatedly, and cancel it a little later each time. Returns how often it completed.

    If it `ends` by itself, it completes at least once: the last cancellations come late enough.
    """
    done = 0
    for number in itertools.count():
        if number >= 80 and (done or not ends):
            break
        task = asyncio.ensure_future(work())
        for _ in range(number % 20):
            await asyncio.sleep(0)
        await asyncio.sleep(number / 8000 if number >= 20 else 0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert not isinstance(outcome, Exception), outcome
        done += not isinstance(outcome, BaseException)
    return done


async def assert_nothing_left(app: FastAPI, database: URL) -> None:
    """All connections are available, and no statement or transaction is running."""
    statements: Statements = app.state.statements
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.connect() as observer, asyncio.timeout(PATIENCE):
        while await observer.scalar(LEFT):
            await observer.rollback()
            await asyncio.sleep(0.05)
    all_connections = asyncio.Barrier(POOL)

    async def hold() -> None:
        async with request_session(statements) as session:
            session.only_reads = True
            await session.execute(text("SELECT 1"))
            await all_connections.wait()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(hold() for _ in range(POOL)))


async def test_a_transaction_is_atomic(database: URL) -> None:
    await execute(database, "CREATE TABLE marks (mark int)")
    async with running_app(database, pool_size=POOL) as app:
        statements: Statements = app.state.statements

        async def write() -> None:
            async with request_session(statements) as session:
                await session.execute(text("INSERT INTO marks VALUES (1)"))
                await session.execute(text("SELECT pg_sleep(0.001)"))
                await session.execute(text("INSERT INTO marks VALUES (2)"))

        done = await cancelled_at_many_points(write)
        await assert_nothing_left(app, database)
        ones = await statements.scalar(text("SELECT count(*) FROM marks WHERE mark = 1"))
        twos = await statements.scalar(text("SELECT count(*) FROM marks WHERE mark = 2"))
        assert ones == twos >= done > 0  # a cancelled commit may have succeeded


async def test_a_statement(database: URL) -> None:
    async with running_app(database, pool_size=POOL) as app:
        statements: Statements = app.state.statements
        await cancelled_at_many_points(lambda: statements.execute(text("SELECT pg_sleep(0.002)")))
        await assert_nothing_left(app, database)


async def test_a_wait_for_a_connection(database: URL) -> None:
    async with running_app(database, pool_size=POOL) as app:
        statements: Statements = app.state.statements
        async with request_session(statements) as one, request_session(statements) as other:
            for session in (one, other):
                session.only_reads = True
                await session.execute(text("SELECT 1"))
            work = partial(statements.scalar, text("SELECT 1"))
            assert await cancelled_at_many_points(work, ends=False) == 0
        await assert_nothing_left(app, database)


@pytest.mark.parametrize("known", [True, False])
async def test_a_shared_read(database: URL, *, known: bool) -> None:
    async with running_app(database, pool_size=POOL) as app, client_of(app) as client:
        account_id = UUID((await create_account(client))["id"]) if known else UUID(int=0)

        async def read() -> bool:
            try:
                async with request_session(app.state.statements) as session:
                    return await get(session, ACCOUNTS, account_id) is not None
            except AccountNotFound:
                return False

        others = [asyncio.create_task(read()) for _ in range(20)]
        await cancelled_at_many_points(read)
        async with asyncio.timeout(PATIENCE):
            assert set(await asyncio.gather(*others, read())) == {known}
        await assert_nothing_left(app, database)
