"""Writes that are not answered: they are not cancelled, and keep their connections until they are.

Another transaction holds them up here, as a standby would. tests/failures/test_commits.py has those
that wait for a standby.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from sqlalchemy import URL, NullPool, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from app.errors import Overloaded
from app.models import Account, table_of
from app.postgres import commits, connection_queue, recovery
from app.postgres.commits import UnknownOutcome
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from tests.applications import make_settings
from tests.databases import LIMITS, execute
from tests.locks import held_up
from tests.waiting import come, until

ACCOUNTS = table_of(Account)
BACKENDS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'satchel'"
)
# Each insert into accounts waits for items when it is committed.
FUNCTION = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN LOCK TABLE items; RETURN NEW; END $$"""
TRIGGER = """
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()"""


def inserting(name: str) -> Any:
    email = f"{name}@example.com"
    values = {"id": uuid7(), "email": email, "email_key": email, "username": name}
    return insert(ACCOUNTS).values(values).returning(ACCOUNTS.c.id)


@pytest.fixture
async def make_statements(database: URL) -> AsyncIterator[Callable[..., Statements]]:
    made: list[Statements] = []

    def make(**settings: Any) -> Statements:
        given = make_settings(**{**dict.fromkeys(LIMITS, 0), "pool_size": 2, **settings})
        made.append(Statements(make_engine(database, given, autocommit=True)))
        return made[-1]

    yield make
    for statements in made:
        await statements.close()


@pytest.fixture
async def statements(make_statements: Callable[..., Statements]) -> Statements:
    """On two connections that are open."""
    statements = make_statements()
    both = asyncio.Barrier(2)

    async def hold() -> None:
        async with request_session(statements) as session:
            session.only_reads = True
            await session.execute(text("SELECT 1"))
            await both.wait()

    await come(asyncio.gather(hold(), hold()))
    return statements


@asynccontextmanager
async def locked(database: URL, table: str) -> AsyncIterator[None]:
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text(f"LOCK TABLE {table}"))
        yield


@asynccontextmanager
async def contested(database: URL) -> AsyncIterator[None]:
    """Whoever inserts ada waits for a transaction that has done so, until it is rolled back."""
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(inserting("ada"))
        yield


async def abandon(database: URL, write: Any) -> None:
    """Cancel a write while it is held up."""
    task = asyncio.ensure_future(write)
    await held_up(database)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def names(statements: Statements) -> list[str]:
    return list((await statements.execute(select(ACCOUNTS.c.username))).scalars())


async def write_in_transaction(statements: Statements, name: str = "ada") -> None:
    async with request_session(statements) as session:
        await session.execute(inserting(name))


@pytest.mark.parametrize("runs", [1, 2])
async def test_a_write_whose_caller_goes_is_not_cancelled(
    statements: Statements, database: URL, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    """As SQLAlchemy runs it the first time, and as it is run again."""
    monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", 0.05)
    write = inserting("ada")
    for _ in range(runs - 1):
        await statements.execute(write)
        await execute(database, "DELETE FROM accounts")
    async with contested(database):
        await abandon(database, statements.execute(write))
        assert statements.queue.in_use == 1
        with pytest.raises(Overloaded):  # its place is taken
            await statements.execute(inserting("bob"))
        assert await statements.scalar(text("SELECT 7")) == 7  # one is left to reads
        await held_up(database)
    await until(lambda: statements.queue.in_use == 0, "its place is not given back")
    assert await names(statements) == ["ada"]
    await statements.execute(inserting("bob"))


async def test_a_commit_whose_caller_goes_is_not_cancelled(
    statements: Statements, database: URL
) -> None:
    await execute(database, FUNCTION, TRIGGER)
    async with locked(database, "items"):
        await abandon(database, write_in_transaction(statements))
        assert statements.queue.in_use == 1
        assert await names(statements) == []
    await until(lambda: statements.queue.in_use == 0, "its place is not given back")
    assert await names(statements) == ["ada"]


async def test_a_read_and_a_transaction_are_cancelled(
    statements: Statements, database: URL
) -> None:
    async with locked(database, "accounts"):
        await abandon(database, names(statements))
        await abandon(database, write_in_transaction(statements))
        await held_up(database, 0)
        assert statements.queue.in_use == 0
    assert await names(statements) == []


async def test_there_are_never_more_connections_than_places(
    statements: Statements, database: URL
) -> None:
    async with contested(database):
        await abandon(database, statements.execute(inserting("ada")))
        for _ in range(5):
            async with request_session(statements) as session:
                session.only_reads = True
                assert await session.scalar(BACKENDS) == 2
            assert await statements.scalar(BACKENDS) == 2
    await until(lambda: statements.queue.in_use == 0, "its place is not given back")
    await write_in_transaction(statements, "bob")
    assert await statements.scalar(BACKENDS) <= 2


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_one_that_takes_too_long_has_an_unknown_outcome(
    make_statements: Callable[..., Statements],
    database: URL,
    monkeypatch: pytest.MonkeyPatch,
    *,
    in_transaction: bool,
) -> None:
    monkeypatch.setattr(recovery, "log", structlog.get_logger("satchel.database"))
    await execute(database, FUNCTION, TRIGGER)
    statements = make_statements(pool_size=1, statement_timeout=1)
    # The server itself has no limit, as for the wait of a commit.
    await statements.execute(text("SET statement_timeout = 0"))
    async with locked(database, "items") if in_transaction else contested(database):
        with capture_logs() as logs, pytest.raises(UnknownOutcome):
            if in_transaction:
                await write_in_transaction(statements)
            else:
                await statements.execute(inserting("ada"))
        assert [log["event"] for log in logs] == ["commit not answered"]
        assert statements.queue.in_use == 1
    await until(lambda: statements.queue.in_use == 0, "its place is not given back")
    assert await names(statements) == ["ada"]


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_one_that_ends_with_a_warning_has_an_unknown_outcome(
    statements: Statements, database: URL, monkeypatch: pytest.MonkeyPatch, *, in_transaction: bool
) -> None:
    """As if the function of PostgreSQL that runs RAISE were the one that waits for standbys."""
    monkeypatch.setattr(commits, "_WAITS_FOR_STANDBYS", "exec_stmt_raise")
    monkeypatch.setattr(commits, "log", structlog.get_logger("satchel.database"))
    raising = FUNCTION.replace("LOCK TABLE items", "RAISE WARNING 'committed locally'")
    await execute(database, raising, TRIGGER)
    for name in ("ada", "bob"):
        with capture_logs() as logs, pytest.raises(UnknownOutcome):
            if in_transaction:
                await write_in_transaction(statements, name)
            else:
                await statements.execute(inserting(name))
        assert [log["event"] for log in logs] == ["commit not confirmed"]
    assert sorted(await names(statements)) == ["ada", "bob"]
    monkeypatch.undo()
    await statements.execute(inserting("eve"))  # other warnings say nothing of the outcome
    assert statements.queue.in_use == 0


async def test_its_connection_stays_open_until_it_is_dropped(
    statements: Statements, database: URL
) -> None:
    async with contested(database):
        await abandon(database, statements.execute(inserting("ada")))
        (driver,) = statements._abandoned
        driver.terminate()
        await driver.close()
        assert not driver.is_closed()
        driver.drop()
        assert driver.is_closed()
        await until(lambda: statements.queue.in_use == 0, "its place is not given back")
        await held_up(database)  # the server goes on

    async def stored() -> bool:
        return await names(statements) == ["ada"]

    await until(stored, "it is not stored")


async def test_it_does_not_keep_others_from_closing(statements: Statements, database: URL) -> None:
    async with contested(database):
        await abandon(database, statements.execute(inserting("ada")))
        await come(statements.close())
        await until(lambda: not statements._abandoned, "its connection stays open")
