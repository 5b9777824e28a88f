"""The session of a request: alone in AUTOCOMMIT as long as nothing needs a transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, Engine, event, insert, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.errors import Overloaded
from app.models import Account, table_of
from app.postgres import connection_queue
from app.postgres.engine import make_engine
from app.postgres.sessions import (
    RequestSession,
    begin_with,
    execute_only_write,
    execute_read,
    outside_transaction,
    request_session,
)
from app.postgres.statements import Statements
from tests.applications import make_settings

ACCOUNTS = table_of(Account)
IDS = select(ACCOUNTS.c.id)


def account(name: str) -> dict[str, Any]:
    email = f"{name}@example.com"
    return {"id": uuid7(), "email": email, "email_key": email, "username": name}


@pytest.fixture
async def statements(database: URL) -> AsyncIterator[Statements]:
    engine = make_engine(database, make_settings(pool_size=1), autocommit=True)
    statements = Statements(engine)
    yield statements
    await statements.close()


async def names(statements: Statements) -> list[str]:
    return list((await statements.execute(select(ACCOUNTS.c.username))).scalars())


class TestAutocommit:
    @pytest.mark.parametrize(
        "statement",
        [
            IDS,
            select(text("1")).select_from(ACCOUNTS).with_only_columns(ACCOUNTS.c.id),
            IDS.where(ACCOUNTS.c.id.in_(IDS)),
        ],
    )
    async def test_serves_plain_reads(self, statements: Statements, statement: Any) -> None:
        async with request_session(statements) as session:
            await session.execute(statement)
            await session.scalar(statement)
            (await session.scalars(statement)).all()
            assert session.autocommit is not None

    @pytest.mark.parametrize(
        "statement",
        [
            insert(ACCOUNTS).values(account("ada")),
            IDS.with_for_update(),
            select(Account),
            select(insert(ACCOUNTS).values(account("ada")).returning(ACCOUNTS.c.id).cte()),
            text("SELECT 1"),
            select(text("1")),
        ],
    )
    async def test_ends_at_whatever_else(self, statements: Statements, statement: Any) -> None:
        async with request_session(statements) as session:
            await session.execute(statement)
            assert session.autocommit is None
            assert session.in_transaction()
            await session.execute(IDS)
            assert statements.queue.in_use == 1
        assert statements.queue.in_use == 0

    async def test_takes_one_write_of_a_request(self, statements: Statements) -> None:
        async with request_session(statements) as session:
            await execute_only_write(session, insert(ACCOUNTS), account("ada"))
            assert session.autocommit is not None
            with pytest.raises(InvalidRequestError, match="begin"):
                await execute_only_write(session, insert(ACCOUNTS), account("bob"))
        assert await names(statements) == ["ada"]

    @pytest.mark.parametrize(
        "go_on",
        [
            lambda session: session.execute(insert(ACCOUNTS).values(account("bob"))),
            lambda session: session.execute(text("SELECT 1")),
            lambda session: session.get(Account, uuid7()),
            lambda session: session.flush(),
        ],
    )
    async def test_after_a_write_begins_no_transaction(
        self, statements: Statements, go_on: Callable[[AsyncSession], Awaitable[object]]
    ) -> None:
        """Its failure could not take the write back."""
        async with request_session(statements) as session:
            await execute_only_write(session, insert(ACCOUNTS), account("ada"))
            with pytest.raises(InvalidRequestError, match="begin"):
                await go_on(session)
            assert (await execute_read(session, IDS)).all()
        assert await names(statements) == ["ada"]

    async def test_is_over_in_a_transaction(self, statements: Statements) -> None:
        with pytest.raises(ValueError, match="no"):
            async with request_session(statements) as session, session.begin():
                for name in ("ada", "bob"):
                    await execute_only_write(session, insert(ACCOUNTS), account(name))
                assert len((await execute_read(session, IDS)).all()) == 2
                raise ValueError("no")
        assert await names(statements) == []

    async def test_is_not_for_sessions_of_others(self, statements: Statements) -> None:
        async with AsyncSession(**statements.session_options) as session:
            await execute_only_write(session, insert(ACCOUNTS), account("ada"))
            assert len((await execute_read(session, IDS)).all()) == 1
        assert await names(statements) == []


class TestOutside:
    """What a request waits for besides the database holds no connection."""

    async def test_of_a_session_that_has_not_begun(self, statements: Statements) -> None:
        async with request_session(statements) as session:
            async with outside_transaction(session):
                assert session.autocommit is not None
            await execute_only_write(session, insert(ACCOUNTS), account("ada"))
        assert await names(statements) == ["ada"]

    async def test_begins_again_what_has_only_begun(self, statements: Statements) -> None:
        seen: list[str] = []
        async with request_session(statements) as session:

            async def start() -> None:
                seen.append("begun")
                name = f"start {len(seen)}"
                await session.execute(insert(ACCOUNTS).values(account(name.replace(" ", "."))))

            await begin_with(session, start)
            async with outside_transaction(session):
                assert statements.queue.in_use == 0
                assert await names(statements) == []
            assert statements.queue.in_use == 1
            await session.execute(insert(ACCOUNTS).values(account("ada")))
        assert await names(statements) == ["start.2", "ada"]

    @pytest.mark.parametrize(
        "work",
        [
            lambda session: session.execute(text("SELECT 1")),
            lambda session: session.add(Account(**account("ada"))),
        ],
    )
    @pytest.mark.parametrize("has_start", [False, True])
    async def test_is_refused_to_what_has_gone_on(
        self, statements: Statements, work: Callable[[AsyncSession], Any], has_start: bool
    ) -> None:
        with pytest.raises(InvalidRequestError, match="something other than the database"):
            async with request_session(statements) as session:
                if has_start:
                    await begin_with(session, partial(_run, session))
                done = work(session)
                if done is not None:
                    await done
                async with outside_transaction(session):
                    pass
        assert await names(statements) == []
        assert statements.queue.in_use == 0

    async def test_leaves_sessions_of_others_alone(self, statements: Statements) -> None:
        async with AsyncSession(**statements.session_options) as session:
            await begin_with(session, partial(_run, session))
            async with outside_transaction(session):
                assert session.in_transaction()


async def _run(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


class TestORM:
    def test_is_an_async_session(self, statements: Statements) -> None:
        session = RequestSession(statements)
        assert isinstance(session, AsyncSession)

    async def test_is_committed_at_the_end(self, statements: Statements) -> None:
        async with request_session(statements) as session:
            row = Account(**account("ada"))
            session.add(row)
            assert row in session.new
        assert await names(statements) == ["ada"]
        assert row.username == "ada"  # does not expire

    async def test_is_rolled_back_on_raise(self, statements: Statements) -> None:
        with pytest.raises(ValueError, match="no"):
            async with request_session(statements) as session:
                session.add(Account(**account("ada")))
                await session.flush()
                raise ValueError("no")
        assert await names(statements) == []
        assert statements.queue.in_use == 0

    async def test_only_the_commit_ends_what_is_begun(self, statements: Statements) -> None:
        async with request_session(statements) as session:
            session.add(Account(**account("ada")))
            await session.commit()
            session.add(Account(**account("bob")))
            await session.rollback()
        assert await names(statements) == ["ada"]

    async def test_waits_for_its_turn_as_statements_do(
        self, statements: Statements, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", 0.05)
        async with request_session(statements) as session:
            await session.execute(text("SELECT 1"))
            for _ in range(2):
                with pytest.raises(Overloaded):
                    async with request_session(statements) as other:
                        await other.execute(text("SELECT 1"))
            with pytest.raises(Overloaded):
                await statements.execute(IDS)
        queue = statements.queue
        assert (queue.size, queue.in_use, queue.waiting) == (1, 0, 0)
        assert await names(statements) == []

    async def test_who_only_asks_for_the_bind_takes_no_connection(
        self, statements: Statements
    ) -> None:
        async with request_session(statements) as session:
            assert session.get_bind() is not None
            assert session.bind is not None
            assert statements.queue.in_use == 0


async def test_a_session_of_one_read_begins_no_transaction(statements: Statements) -> None:
    seen: list[str] = []
    record = lambda *_: seen.append("BEGIN")  # noqa: E731
    event.listen(Engine, "begin", record)
    try:
        async with request_session(statements) as session:
            await session.execute(IDS)
    finally:
        event.remove(Engine, "begin", record)
    assert len(seen) <= 1  # SQLAlchemy's own, which AUTOCOMMIT does not send
