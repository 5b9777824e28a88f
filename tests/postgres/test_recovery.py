"""Unusable connections are replaced before a statement uses them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncpg import InterfaceError, InternalClientError
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.postgres import engine as engines
from app.postgres.engine import make_engine, transactional
from app.postgres.failures import problem_of
from tests.applications import make_settings
from tests.databases import execute
from tests.waiting import PATIENCE

PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database, make_settings(pool_size=2), autocommit=True)
    yield engine
    await engine.dispose()


async def pid_of(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        pid: int = (await connection.execute(PID)).scalar_one()
    return pid


async def terminate(database: URL, pid: int) -> None:
    await execute(database, f"SELECT pg_terminate_backend({pid}, 60000)")
    for _ in range(10):  # the event loop needs some turns to read the close
        await asyncio.sleep(0)


def raising(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the driver raise this error at the next statement."""

    async def fail(*_: object, **_options: object) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr("asyncpg.Connection.prepare", fail)


async def test_one_that_has_left_the_pool_fails_as_others_do(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that which holds the lock of migrations."""
    async with engine.connect() as connection:
        await connection.run_sync(Connection.detach)
        raising(InterfaceError("connection is closed"), monkeypatch)
        with pytest.raises(DBAPIError, match="connection is closed"):
            await connection.execute(PID)


async def test_one_that_closes_while_idle_is_replaced(engine: AsyncEngine, database: URL) -> None:
    pid = await pid_of(engine)
    await terminate(database, pid)
    fresh = await pid_of(engine)
    assert fresh != pid
    assert await pid_of(engine) == fresh


async def test_one_that_closes_in_use_takes_older_ones_with_it(
    engine: AsyncEngine, database: URL
) -> None:
    async with engine.connect() as one, engine.connect() as other:
        pid = await one.scalar(PID)
        old = await other.scalar(PID)
        await terminate(database, pid)
        with pytest.raises(DBAPIError) as error:
            await one.execute(PID)
        problem = problem_of(error.value)
        assert problem is not None
        assert problem.code == "database_unavailable"
    assert old not in {await pid_of(engine) for _ in range(4)}


async def test_the_late_close_of_a_replaced_one_is_ignored(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await connection.invalidate()
        fresh = await connection.scalar(PID)
        assert driver.is_closed()
    await asyncio.sleep(0)
    assert await pid_of(engine) == fresh


@pytest.mark.parametrize(
    "error",
    [
        InternalClientError("cannot switch"),
        InterfaceError("another operation is in progress"),
        ConnectionError("lost"),
        TimeoutError(),
    ],
)
async def test_one_that_lost_a_statement_is_closed(
    engine: AsyncEngine, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await pid_of(engine)
    raising(error, monkeypatch)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises((OSError, DBAPIError)) as raised:
            await connection.execute(text("SELECT 2"))
    assert driver.is_closed()
    problem = problem_of(raised.value)
    assert problem is not None
    assert problem.code == "database_unavailable"
    assert await pid_of(engine) != pid


async def test_one_to_a_new_standby_is_replaced(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SET default_transaction_read_only = on"))
    with pytest.raises(DBAPIError, match="read-only"):
        async with transactional(engine).begin() as connection:
            await connection.execute(text("DELETE FROM accounts"))
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM accounts"))


async def test_other_errors_keep_the_connection(engine: AsyncEngine) -> None:
    pid = await pid_of(engine)
    with pytest.raises(DBAPIError):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1 / 0"))
    assert await pid_of(engine) == pid


async def test_a_statement_without_a_response_times_out(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "STATEMENT_GRACE_SECONDS", 0.2)
    settings = make_settings(statement_timeout=1, pool_size=1)
    engine = make_engine(database, settings, autocommit=True)
    async with engine.connect() as connection:
        # Turns the server's own limit off, as if the server could not enforce it.
        await connection.execute(text("SET statement_timeout = 0"))
        with pytest.raises(TimeoutError):
            await connection.execute(text(f"SELECT pg_sleep({PATIENCE})"))
    assert await pid_of(engine)
    await engine.dispose()
