"""Single statements and their turn for a connection."""

import asyncio
from types import SimpleNamespace

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import base as pool

from app.postgres import engine as engine_module
from app.postgres import statements as statements_module
from app.postgres.sessions import request_session
from tests.applications import running_app
from tests.databases import execute


class TestStatements:
    async def test_each_is_committed(self, database: URL) -> None:
        async with running_app(database) as app:
            statements = app.state.statements
            await statements.execute(text("CREATE TABLE marks (mark int)"))
            await statements.execute(text("INSERT INTO marks VALUES (:mark)"), {"mark": 7})
            assert await statements.scalar(text("SELECT mark FROM marks")) == 7

    async def test_a_transaction_is_all_or_nothing(self, database: URL) -> None:
        async with running_app(database, pool_size=1) as app:
            statements = app.state.statements
            await statements.execute(text("CREATE TABLE marks (mark int)"))
            with pytest.raises(DBAPIError, match="division by zero"):
                async with request_session(statements) as session:
                    await session.execute(text("INSERT INTO marks VALUES (1)"))
                    await session.execute(text("SELECT 1 / 0"))
            async with request_session(statements) as session:
                await session.execute(text("INSERT INTO marks VALUES (2)"))
            assert await statements.scalar(text("SELECT sum(mark) FROM marks")) == 2

    async def test_more_callers_than_connections_are_all_served(self, database: URL) -> None:
        async with running_app(database, pool_size=2) as app:
            statements = app.state.statements
            asked = [
                statements.scalar(text("SELECT CAST(:n AS int)"), {"n": n}) for n in range(100)
            ]
            assert await asyncio.gather(*asked) == list(range(100))

    async def test_a_connection_stays_out_of_the_pool_between_statements(
        self, database: URL
    ) -> None:
        backend = text("SELECT pg_backend_pid()")
        async with running_app(database, pool_size=3) as app:
            statements = app.state.statements
            first = await statements.scalar(backend)
            assert {await statements.scalar(backend) for _ in range(5)} == {first}

    async def test_a_failing_one_leaves_no_trace(self, database: URL) -> None:
        async with running_app(database, pool_size=1) as app:
            statements = app.state.statements
            for _ in range(3):
                with pytest.raises(DBAPIError, match="division by zero"):
                    await statements.execute(text("SELECT 1 / 0"))
                assert await statements.scalar(text("SELECT 1")) == 1

    async def test_one_that_is_given_up_takes_no_connection_with_it(self, database: URL) -> None:
        async with running_app(database, pool_size=2) as app:
            statements = app.state.statements
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await statements.execute(text("SELECT pg_sleep(5)"))
            asked = [statements.scalar(text("SELECT 1")) for _ in range(4)]
            assert await asyncio.gather(*asked) == [1, 1, 1, 1]

    async def test_no_connection_is_given_out_that_the_database_has_closed(
        self, database: URL
    ) -> None:
        async with running_app(database, pool_size=4) as app:
            statements = app.state.statements
            await asyncio.gather(*(statements.execute(text("SELECT 1")) for _ in range(4)))
            await execute(
                database,
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            for _ in range(10):  # the word of it has come; turns of the loop for it to be read
                await asyncio.sleep(0)
            asked = [statements.scalar(text("SELECT 1")) for _ in range(8)]
            assert await asyncio.gather(*asked) == [1] * 8
            async with request_session(statements) as session:
                await session.execute(text("SELECT 1"))

    async def test_one_whose_connection_breaks_lets_go_of_the_others(self, database: URL) -> None:
        async with running_app(database, pool_size=4) as app:
            statements = app.state.statements
            backend = text("SELECT pg_backend_pid()")
            sleeping = text("SELECT pg_backend_pid() FROM pg_sleep(0.1)")
            before = set(await asyncio.gather(*(statements.scalar(sleeping) for _ in range(4))))
            with pytest.raises(DBAPIError) as failure:
                await statements.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            assert failure.value.connection_invalidated
            assert await statements.scalar(backend) not in before

    async def test_one_that_is_not_answered_lets_go_of_the_others_too(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running_app(database, pool_size=3) as app:
            statements = app.state.statements
            sleeping = text("SELECT pg_backend_pid() FROM pg_sleep(0.1)")
            await asyncio.gather(*(statements.execute(sleeping) for _ in range(3)))
            with monkeypatch.context() as patch:

                async def time_out(*_: object) -> None:
                    raise TimeoutError

                patch.setattr(AsyncConnection, "execute", time_out)
                with pytest.raises(TimeoutError):
                    await statements.execute(text("SELECT 1"))
            assert statements._idle == []
            assert await statements.scalar(text("SELECT 1")) == 1

    async def test_a_reservation_that_fails_gives_its_place_back(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running_app(database, pool_size=1) as app:
            statements = app.state.statements
            await statements.execute(text("SELECT 1"))
            close = AsyncConnection.close

            async def close_and_fail(connection: AsyncConnection) -> None:
                await close(connection)
                raise TimeoutError

            with monkeypatch.context() as patch:
                patch.setattr(AsyncConnection, "close", close_and_fail)
                with pytest.raises(TimeoutError):
                    await statements.reserve()
            assert statements.queue.in_use == 0

    async def test_old_connections_are_replaced(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(statements_module, "time", SimpleNamespace(monotonic=lambda: now))
        monkeypatch.setattr(pool, "time", SimpleNamespace(time=lambda: now))
        backend = text("SELECT pg_backend_pid()")
        async with running_app(database) as app:
            first = await app.state.statements.scalar(backend)
            now += engine_module.RECYCLE_SECONDS - 1
            assert await app.state.statements.scalar(backend) == first
            now += 2
            assert await app.state.statements.scalar(backend) != first
