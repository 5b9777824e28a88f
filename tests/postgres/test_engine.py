"""Engines: lazy connections, autocommit, limits, and no values in logs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.config import parse_database_url
from app.postgres import engine as engines
from app.postgres import loop_timeout as timeouts
from app.postgres.engine import log_statements, make_engine, transactional
from app.telemetry.logs import Lines
from tests.applications import make_settings
from tests.busy_loop import busy_loop
from tests.databases import execute
from tests.waiting import come

INSERT = text(
    "INSERT INTO accounts (id, email, email_key, username)"
    " VALUES (gen_random_uuid(), :email, :email, 'ada')"
)
COUNT = text("SELECT count(*) FROM accounts")


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database, make_settings(pool_size=2), autocommit=True)
    yield engine
    await engine.dispose()


class TestMakeEngine:
    async def test_connects_at_the_first_statement(self) -> None:
        nowhere = URL.create("postgresql+asyncpg", host="127.0.0.1", port=1, database="x")
        engine = make_engine(nowhere, make_settings())
        with pytest.raises(ConnectionRefusedError):
            await engine.connect()

    async def test_sends_the_application_name(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            name = await connection.scalar(text("SELECT current_setting('application_name')"))
        assert name == "satchel"

    async def test_passes_options_of_the_url_on(self, database: URL) -> None:
        printed = database.render_as_string(hide_password=False)
        printed += "&" if database.query else "?"
        printed += "options=-csearch_path%3Dpg_temp&pgbouncer=true&connect_timeout=15"
        for for_migrations in (False, True):
            url = parse_database_url(printed)
            engine = make_engine(url, make_settings(), for_migrations=for_migrations)
            async with engine.connect() as connection:
                assert await connection.scalar(text("SHOW search_path")) == "pg_temp"
                prepared = text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
                for _ in range(3):
                    assert await connection.scalar(prepared) == 0
            await engine.dispose()

    async def test_has_as_many_connections_as_the_setting_says(self, engine: AsyncEngine) -> None:
        async with engine.connect() as one, engine.connect() as other:
            query = text("SELECT pg_backend_pid()")
            assert await one.scalar(query) != await other.scalar(query)
            assert "Pool size: 2" in engine.pool.status()
            assert "Current Checked out connections: 2" in engine.pool.status()

    async def test_keeps_values_out_of_errors(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as error:
                await connection.execute(INSERT, {"email": "ada@example.com" * 100})
        assert "ck_accounts_email_length" in str(error.value)
        assert "ada@example.com" not in str(error.value)


class TestConnecting:
    @pytest.fixture(autouse=True)
    def short_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engines, "CONNECT_TIMEOUT_SECONDS", 0.2)
        monkeypatch.setattr(timeouts, "STEP_SECONDS", 0.002)

    async def test_times_out_on_a_silent_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            url = URL.create("postgresql+asyncpg", "me", "x", "127.0.0.1", port, "d")
            with pytest.raises(TimeoutError):
                await come(make_engine(url, make_settings()).connect())

    async def test_succeeds_in_a_busy_loop(self, engine: AsyncEngine) -> None:
        with busy_loop(0.15):
            async with engine.connect() as connection:
                assert await connection.scalar(text("SELECT 7")) == 7


class TestAutocommit:
    async def test_each_statement_is_a_transaction_of_its_own(self, engine: AsyncEngine) -> None:
        async with engine.connect() as writer, engine.connect() as reader:
            await writer.execute(INSERT, {"email": "ada@example.com"})
            assert await reader.scalar(COUNT) == 1
            await writer.rollback()
            assert await reader.scalar(COUNT) == 1

    async def test_is_not_the_default(self, database: URL) -> None:
        engine = make_engine(database, make_settings())
        for expected in (0, 1):
            async with engine.connect() as writer:
                await writer.execute(INSERT, {"email": "ada@example.com"})
                await (writer.commit() if expected else writer.rollback())
            async with engine.connect() as reader:
                assert await reader.scalar(COUNT) == expected
        await engine.dispose()


class TestTransactional:
    async def test_nothing_is_stored_before_the_commit(self, engine: AsyncEngine) -> None:
        async with transactional(engine).connect() as writer, engine.connect() as reader:
            await writer.execute(INSERT, {"email": "ada@example.com"})
            assert await reader.scalar(COUNT) == 0
            await writer.commit()
            assert await reader.scalar(COUNT) == 1

    async def test_names_no_isolation_and_asks_for_none(self, engine: AsyncEngine) -> None:
        sent: list[str] = []
        async with transactional(engine).connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_query_logger(lambda record: sent.append(record.query))
            assert await connection.scalar(COUNT) == 0
            await connection.commit()
            await asyncio.sleep(0)
        assert [query for query in sent if "accounts" not in query] == ["BEGIN;", "COMMIT;"]

    async def test_shares_the_pool_and_leaves_connections_as_they_were(
        self, engine: AsyncEngine
    ) -> None:
        view = transactional(engine)
        assert view.pool is engine.pool
        # Both can use the same connection in turn.
        for number, used, stored in ((1, engine, 1), (2, view, 1), (3, engine, 2), (4, view, 2)):
            async with used.connect() as connection:
                await connection.execute(INSERT, {"email": f"{number}@example.com"})
            async with engine.connect() as connection:
                assert await connection.scalar(COUNT) == stored
        assert "Connections in pool: 1" in engine.pool.status()


class TestLogStatements:
    async def test_logs_the_statement_without_its_values(
        self, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "log", structlog.wrap_logger(Lines("satchel.sql")))
        log_statements(engine)
        with capture_logs() as logs:
            async with engine.connect() as connection:
                await connection.execute(INSERT, {"email": "ada@example.com"})
                await connection.execute(text("SELECT\n    1"))
        statements = [log["statement"] for log in logs if log["event"] == "sql"]
        assert statements[-1] == "SELECT 1"
        assert statements[-2].startswith("INSERT INTO accounts")
        assert "ada@example.com" not in str(logs)


class TestLimits:
    SHOW = text(
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
        " current_setting('idle_in_transaction_session_timeout')"
    )

    async def test_are_set_on_every_connection(self, database: URL) -> None:
        settings = make_settings(
            statement_timeout=1.5, lock_timeout=0.25, idle_in_transaction_timeout=3
        )
        engine = make_engine(database, settings, autocommit=True)
        async with engine.connect() as connection:
            assert (await connection.execute(self.SHOW)).one() == ("1500ms", "250ms", "3s")
        await engine.dispose()

    @pytest.mark.parametrize("for_migrations", [True, False])
    async def test_of_0_and_of_migrations_are_those_of_the_database(
        self, database: URL, *, for_migrations: bool
    ) -> None:
        limits = (
            {}
            if for_migrations
            else {"statement_timeout": 0, "lock_timeout": 0, "idle_in_transaction_timeout": 0}
        )
        await execute(database, f'ALTER DATABASE "{database.database}" SET lock_timeout = 77')
        engine = make_engine(database, make_settings(**limits), for_migrations=for_migrations)
        async with engine.connect() as connection:
            assert (await connection.execute(self.SHOW)).one() == ("0", "77ms", "0")
        await engine.dispose()

    async def test_of_an_idle_transaction_frees_its_locks(self, database: URL) -> None:
        settings = make_settings(idle_in_transaction_timeout=1)
        engine = make_engine(database, settings)
        async with engine.connect() as connection:
            await connection.execute(text("LOCK TABLE accounts"))
            await execute(database, "SELECT FROM accounts")  # waits for its end
            with pytest.raises(DBAPIError) as error:
                await connection.execute(COUNT)
            assert error.value.connection_invalidated
        await engine.dispose()
