"""Poolers that share sessions: found where none may be, and without effect on the contract."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import ARRAY, URL, Integer, Uuid, bindparam, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.postgres import poolers as module
from app.postgres import watchdog
from app.postgres.engine import make_engine, transactional
from app.postgres.poolers import PoolerFound
from tests.applications import client_of, make_settings, running_app
from tests.databases import LIMITS, execute
from tests.factories import account_body, create_account, create_item
from tests.poolers import SERVER_CONNECTIONS, Pooler, running_pooler
from tests.servers import Server, server_environment
from tests.waiting import come, until

FOUND = (
    "TEST_DATABASE_URL leads to a pooler that shares sessions, such as PgBouncer:"
    " set DATABASE_POOLER=transaction."
)
PAST = (
    "TEST_DATABASE_URL leads to a pooler that shares sessions, such as PgBouncer:"
    " set MIGRATION_DATABASE_URL to a URL that leads past it."
)
NO_LIMITS = dict.fromkeys(LIMITS, 0)
NUMBER = select(bindparam("number", type_=Integer))
IDS = select(bindparam("ids", [UUID(int=0)], ARRAY(Uuid)))
# As some platforms set it, so that a pooler refuses no parameter.
IGNORED = "statement_timeout,lock_timeout,idle_in_transaction_session_timeout"


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (module, watchdog):
        monkeypatch.setattr(each, "log", structlog.get_logger("satchel.database"))


async def ask(engine: AsyncEngine, question: str = "SELECT 7") -> Any:
    async with engine.connect() as connection:
        return await connection.scalar(text(question))


class Refusing:
    """A server that answers each login with an error of the protocol."""

    def __init__(self, message: str) -> None:
        fields = f"SFATAL\0C08P01\0M{message}\0\0".encode()
        self._answer = b"E" + (len(fields) + 4).to_bytes(4) + fields

    @asynccontextmanager
    async def running(self) -> AsyncIterator[URL]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield URL.create("postgresql+asyncpg", "me", "x", "127.0.0.1", port, "d").set(
                query={"ssl": "disable"}
            )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(self._answer)
        writer.close()


class Proxy:
    """It gives each connection a session of its own, and answers in the server's name."""

    _KEY = b"K\0\0\0\x0c"

    def __init__(self, database: URL) -> None:
        self._database = database
        self._socket = f"{database.query['host']}/.s.PGSQL.5432"
        self._tasks: set[asyncio.Task[None]] = set()
        self.logins = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[URL]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield self._database.set(host="127.0.0.1", port=port, query={"ssl": "disable"})
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.logins += 1
        ours = await asyncio.open_unix_connection(self._socket)
        for source, target in ((reader, ours[1]), (ours[0], writer)):
            self._tasks.add(asyncio.create_task(self._pass(source, target)))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                before, key, after = data.partition(self._KEY)
                target.write(before + key + (b"\x7f\0\0\0" + after[4:] if key else after))
        target.close()


@pytest.fixture
async def proxy(database: URL) -> AsyncIterator[tuple[Proxy, URL]]:
    if not database.query.get("host"):
        pytest.skip("the test's database has no unix socket: nothing to install")
    proxy = Proxy(database)
    async with proxy.running() as url:
        yield proxy, url


class TestOwnSessions:
    async def test_a_pooler_that_refuses_parameters_is_found_and_logged_once(self) -> None:
        async with Refusing("unsupported startup parameter: statement_timeout").running() as url:
            engine = make_engine(url, make_settings())
            with capture_logs() as lines:
                for _ in range(2):
                    with pytest.raises(PoolerFound) as found:
                        await come(engine.connect())
        assert str(found.value) == FOUND
        assert lines == [{"event": "pooler found", "advice": FOUND, "log_level": "error"}]

    async def test_other_errors_of_the_protocol_are_the_drivers(self) -> None:
        async with Refusing("no such database: d").running() as url:
            with pytest.raises(DBAPIError, match="no such database"):
                await come(make_engine(url, make_settings()).connect())

    async def test_a_proxy_that_gives_each_connection_a_session_is_none(
        self, proxy: tuple[Proxy, URL]
    ) -> None:
        engine = make_engine(proxy[1], make_settings())
        assert await ask(engine) == 7
        await engine.dispose()

    async def test_only_the_first_connection_is_examined(self, proxy: tuple[Proxy, URL]) -> None:
        engine = make_engine(proxy[1], make_settings(pool_size=3))
        async with engine.connect(), engine.connect(), engine.connect():
            assert proxy[0].logins == 1 + 3
        await engine.dispose()

    @pytest.mark.parametrize("for_migrations", [False, True])
    async def test_no_connection_is_left_where_sessions_are_shared(
        self,
        proxy: tuple[Proxy, URL],
        database: URL,
        monkeypatch: pytest.MonkeyPatch,
        *,
        for_migrations: bool,
    ) -> None:
        async def always(*_: object) -> bool:
            return True

        monkeypatch.setattr(module, "share_sessions", always)
        engine = make_engine(proxy[1], make_settings(), for_migrations=for_migrations)
        with capture_logs() as lines, pytest.raises(PoolerFound) as found:
            await engine.connect()
        assert str(found.value) == (PAST if for_migrations else FOUND)
        assert len(lines) == (0 if for_migrations else 1)

        direct = make_engine(database, make_settings(), autocommit=True)
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"

        async def has_ended() -> bool:
            return bool(await ask(direct, count) == 1)

        await until(has_ended, "a connection is left")
        await direct.dispose()

    async def test_a_url_for_migrations_is_named(self, proxy: tuple[Proxy, URL]) -> None:
        url = "postgresql://127.0.0.1/d"
        settings = make_settings(test_database_url=url, migration_database_url=url)
        async with Refusing("unsupported startup parameter: x").running() as refusing:
            engine = make_engine(refusing, settings, for_migrations=True)
            with pytest.raises(PoolerFound, match="MIGRATION_DATABASE_URL leads to"):
                await come(engine.connect())

    async def test_a_url_of_replicas_must_lead_past_it(self, proxy: tuple[Proxy, URL]) -> None:
        """Each connection must be to one replica, also where the primary is behind a pooler."""
        settings = make_settings(database_pooler="transaction")
        async with Refusing("unsupported startup parameter: x").running() as refusing:
            engine = make_engine(refusing, settings, autocommit=True, for_replica=True)
            with pytest.raises(PoolerFound, match="REPLICA_DATABASE_URL leads to a pooler"):
                await come(engine.connect())


@pytest.fixture(scope="module")
def folders(server_home: Path) -> Callable[[], Path]:
    """Makes names for folders that the user of the server can enter."""
    return lambda: server_home / f"pooler-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def pooler(database_server: URL, folders: Callable[[], Path]) -> Iterator[Pooler]:
    with running_pooler(database_server, folders()) as pooler:
        yield pooler


def serving(pooler: Pooler, database: URL, **values: Any) -> AbstractAsyncContextManager[FastAPI]:
    """An application that reaches a database through a pooler."""
    return running_app(
        pooler.url_of(database),
        database_pooler="transaction",
        migration_database_url=database.render_as_string(hide_password=False),
        **values,
    )


@asynccontextmanager
async def holding_all(pooler: Pooler, database: URL) -> AsyncIterator[list[Any]]:
    """All server connections of a pooler, each in a transaction of ours."""
    url = pooler.url_of(database)
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with contextlib.AsyncExitStack() as stack:
        held = []
        for _ in range(SERVER_CONNECTIONS):
            held.append(await asyncpg.connect(dsn, statement_cache_size=0))
            stack.push_async_callback(held[-1].close)
            await held[-1].execute("BEGIN")
            await held[-1].execute("SELECT 1")
        yield held
        for each in held:
            await each.execute("ROLLBACK")


@pytest.mark.slow
class TestWrongMode:
    async def test_pgbouncer_is_refused(self, pooler: Pooler, database: URL) -> None:
        for values in ({}, NO_LIMITS):
            engine = make_engine(pooler.url_of(database), make_settings(**values))
            with pytest.raises(PoolerFound) as found:
                await engine.connect()
            assert str(found.value) == FOUND

    async def test_pgbouncer_that_ignores_parameters_is_refused_while_others_use_it(
        self, database_server: URL, database: URL, folders: Callable[[], Path]
    ) -> None:
        options = {"ignore_startup_parameters": IGNORED}
        with running_pooler(database_server, folders(), **options) as pooler:
            url = pooler.url_of(database)
            engines = [make_engine(url, make_settings()) for _ in range(20)]
            outcomes = await asyncio.gather(
                *(engine.connect() for engine in engines), return_exceptions=True
            )
        assert [str(outcome) for outcome in outcomes] == [FOUND] * 20

    async def test_pgbouncer_in_session_mode_is_no_such_pooler(
        self, database_server: URL, database: URL, folders: Callable[[], Path]
    ) -> None:
        options = {"ignore_startup_parameters": IGNORED, "pool_mode": "session"}
        with running_pooler(database_server, folders(), **options) as pooler:
            engine = make_engine(pooler.url_of(database), make_settings())
            assert await ask(engine) == 7
            await engine.dispose()

    async def test_requests_get_503_and_the_log_says_why(
        self, pooler: Pooler, database: URL
    ) -> None:
        async with (
            running_app(pooler.url_of(database), migrate_on_start=False) as app,
            client_of(app) as client,
        ):
            with capture_logs() as lines:  # which the application has set up before
                for _ in range(3):
                    for path in ("/accounts", f"/items/{UUID(int=0)}", "/accounts:export"):
                        answer = await client.get(path)
                        assert answer.status_code == 503
                        assert answer.json()["code"] == "database_unavailable"
                        assert "retry-after" in answer.headers
                assert (await client.get("/readyz")).status_code == 503
        advice = {line["advice"] for line in lines if line["event"] == "pooler found"}
        assert advice == {FOUND}


@pytest.mark.slow
class TestTransactionMode:
    async def test_many_requests_share_few_server_connections(
        self, pooler: Pooler, database: URL
    ) -> None:
        most = 0

        async def count() -> None:
            nonlocal most
            while True:
                most = max(most, await ask(direct, others))
                await asyncio.sleep(0.01)

        direct = make_engine(database, make_settings(), autocommit=True)
        others = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with serving(pooler, database) as app, client_of(app) as client:
            counting = asyncio.create_task(count())
            made = await asyncio.gather(*(create_account(client) for _ in range(40)))
            items = await asyncio.gather(*(create_item(client, account["id"]) for account in made))
            for account, item in zip(made, items, strict=True):
                found = await asyncio.gather(
                    client.get(f"/accounts/{account['id']}"),
                    client.get(f"/items/{item['id']}"),
                    client.get(f"/accounts/{account['id']}/items"),
                    client.put(f"/accounts/{account['id']}/favorite", json={"item_id": item["id"]}),
                )
                assert found[0].json() == account
                assert found[1].json() == item
                assert found[2].json()["data"] == [item]
                assert found[3].json()["item"] == item
            counting.cancel()
            exported = (await client.get("/accounts:export?sort=created")).text
        await direct.dispose()
        emails = sorted(json.loads(line)["email"] for line in exported.splitlines())
        assert emails == sorted(account["email"] for account in made)
        assert 1 <= most <= SERVER_CONNECTIONS

    async def test_a_new_primary_is_found_although_the_pooler_remembers_a_standby(
        self, pooler: Pooler, database: URL
    ) -> None:
        """Read-only sessions stand in for those of a standby: both are reported at the login."""
        url = pooler.url_of(database)
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        alter = f'ALTER DATABASE "{database.database}"'
        end_sessions = (
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            f" WHERE datname = '{database.database}' AND pid <> pg_backend_pid()"
        )
        await execute(database, f"{alter} SET default_transaction_read_only = on", end_sessions)
        first = await asyncpg.connect(dsn, statement_cache_size=0)
        await first.close()
        reset = f"{alter} RESET default_transaction_read_only"
        await execute(database, "SET default_transaction_read_only = off", reset, end_sessions)
        later = await asyncpg.connect(dsn, statement_cache_size=0)
        assert later.get_settings().default_transaction_read_only == "on"
        assert await later.fetchval("SHOW default_transaction_read_only") == "off"
        await later.close()

        wanted = url.update_query_dict({"target_session_attrs": "read-write"})
        engine = make_engine(wanted, make_settings(database_pooler="transaction"))
        assert await ask(engine) == 7
        await engine.dispose()

    async def test_sessions_stay_as_they_were(self, pooler: Pooler, database: URL) -> None:
        state = (
            "SELECT ARRAY[(SELECT count(*) FROM pg_prepared_statements WHERE name <> ''),"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
            " (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),"
            " (SELECT count(*) FROM pg_settings WHERE source = 'session' AND setting <> reset_val)]"
        )
        csv, file = {"Content-Type": "text/csv"}, "email,username\na@example.com,a\n"
        async with serving(pooler, database) as app, client_of(app) as client:
            made = await asyncio.gather(
                *(
                    client.post("/accounts", json=account_body(), headers={"Idempotency-Key": "k"})
                    for _ in range(8)
                ),
                client.post("/accounts:import", content=file, headers=csv),
                client.get("/accounts?count=exact"),
                client.get("/accounts:export"),
            )
            assert {answer.status_code for answer in made} <= {200, 201, 409, 422}
            async with holding_all(pooler, database) as held:
                for each in held:
                    assert await each.fetchval(state) == [0, 0, 0, 0]

    async def test_sessions_stay_as_they_were_where_the_driver_asks_for_types(
        self, pooler: Pooler, database: URL
    ) -> None:
        """It sets `jit` meanwhile."""
        settings = make_settings(database_pooler="transaction", pool_size=1)
        engines = [
            make_engine(pooler.url_of(database), settings, autocommit=True) for _ in range(24)
        ]
        connections = await asyncio.gather(*(engine.connect() for engine in engines))
        await asyncio.gather(*(connection.scalar(IDS) for connection in connections))
        async with holding_all(pooler, database) as held:
            assert [await each.fetchval("SHOW jit") for each in held] == ["on"] * len(held)
        for connection, engine in zip(connections, engines, strict=True):
            await connection.close()
            await engine.dispose()

    async def test_a_cancelled_statement_ends_no_other(self, pooler: Pooler, database: URL) -> None:
        async with serving(pooler, database, **NO_LIMITS) as app:
            statements = app.state.statements
            sleep = text("SELECT pg_sleep(0.02)")
            for _ in range(10):
                running = [asyncio.create_task(statements.execute(sleep)) for _ in range(10)]
                await asyncio.sleep(0.01)
                for task in running[::2]:
                    task.cancel()
                outcomes = await asyncio.gather(*running, return_exceptions=True)
                assert not any(isinstance(outcome, BaseException) for outcome in outcomes[1::2])

    async def test_an_argument_that_cannot_be_sent_holds_no_session(
        self, pooler: Pooler, database: URL
    ) -> None:
        """It was prepared for, and what would end that is not sent."""
        async with serving(pooler, database) as app:
            statements = app.state.statements
            for _ in range(2 * SERVER_CONNECTIONS):
                with pytest.raises(DBAPIError, match="out of"):
                    await statements.execute(NUMBER, {"number": 2**70})
            async with holding_all(pooler, database):
                pass

    async def test_who_finds_no_server_connection_gets_503_and_the_database_is_not_silent(
        self, pooler: Pooler, database: URL
    ) -> None:
        async with serving(pooler, database) as app, client_of(app) as client:
            with capture_logs() as lines:
                async with holding_all(pooler, database):
                    answer = await client.get("/accounts")
                    assert answer.status_code == 503
                    assert answer.json()["code"] == "database_unavailable"
                    # Longer than a probe of the watchdog would wait.
                    await asyncio.sleep(watchdog.PROBE_TIMEOUT_SECONDS * 1.5)

                async def serves() -> bool:
                    return (await client.get("/accounts")).status_code == 200

                await until(serves, "it does not come back")
        assert "database silent" not in {line["event"] for line in lines}

    async def test_it_goes_on_after_a_restart_of_the_pooler(
        self, database_server: URL, database: URL, folders: Callable[[], Path]
    ) -> None:
        with running_pooler(database_server, folders()) as pooler:
            async with serving(pooler, database) as app, client_of(app) as client:
                account = await create_account(client)
                pooler.stop()
                assert (await client.get("/accounts")).status_code == 503
                pooler.start()

                async def serves() -> bool:
                    answer = await client.get(f"/accounts/{account['id']}")
                    return answer.status_code == 200

                await until(serves, "it does not come back")

    async def test_workers_serve_through_it(
        self, pooler: Pooler, database: URL, start_server: Callable[..., Server]
    ) -> None:
        environment = {
            **server_environment(pooler.url_of(database)),
            "DATABASE_POOLER": "transaction",
            "MIGRATION_DATABASE_URL": database.render_as_string(hide_password=False),
        }
        server: Server = await asyncio.to_thread(start_server, environment, "--workers", "2")
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            made = await asyncio.gather(
                *(client.post("/accounts", json=account_body()) for _ in range(60))
            )
            assert {answer.status_code for answer in made} == {201}
            found = await asyncio.gather(*(client.get(a.headers["location"]) for a in made))
        assert [answer.json() for answer in found] == [answer.json() for answer in made]


@pytest.mark.slow
class TestForMigrations:
    async def test_pgbouncer_is_refused_in_either_mode(self, pooler: Pooler, database: URL) -> None:
        for mode in ("none", "transaction"):
            settings = make_settings(database_pooler=mode)
            engine = make_engine(pooler.url_of(database), settings, for_migrations=True)
            with pytest.raises(PoolerFound) as found:
                await engine.connect()
            assert str(found.value) == PAST


class TestWithoutOne:
    async def test_transaction_mode_works(self, database: URL) -> None:
        async with (
            running_app(database, database_pooler="transaction") as app,
            client_of(app) as client,
        ):
            account = await create_account(client)
            assert (await client.get(f"/accounts/{account['id']}")).json() == account

    async def test_connections_prepare_nothing_and_set_nothing(self, database: URL) -> None:
        await execute(database, f'ALTER DATABASE "{database.database}" SET lock_timeout = 77')
        settings = make_settings(database_pooler="transaction", pool_size=1)
        engine = make_engine(database, settings, autocommit=True)
        prepared = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
        for _ in range(3):
            assert await ask(engine, prepared) == 0
        shown = "SELECT current_setting('lock_timeout') || current_setting('application_name')"
        assert await ask(engine, shown) == "77ms"
        await engine.dispose()

    async def test_arrays_and_arguments_that_cannot_be_sent(self, database: URL) -> None:
        settings = make_settings(database_pooler="transaction", pool_size=1)
        engine = make_engine(database, settings, autocommit=True)
        async with engine.connect() as connection:
            assert await connection.scalar(IDS) == [UUID(int=0)]
            with pytest.raises(DBAPIError, match="out of"):
                await connection.execute(NUMBER, {"number": 2**70})
            assert await connection.scalar(NUMBER, {"number": 7}) == 7
        async with transactional(engine).connect() as connection:
            assert await connection.scalar(NUMBER, {"number": 7}) == 7
            for wrong in (NUMBER, text("SELECT CAST('x' AS int) + CAST(:number AS int)")):
                with pytest.raises(DBAPIError, match=r"out of|invalid input"):
                    await connection.execute(wrong, {"number": 2**70})
            await connection.rollback()
            assert await connection.scalar(NUMBER, {"number": 7}) == 7
        await engine.dispose()


async def test_sessions_are_shared_where_two_connections_meet_one(database: URL) -> None:
    engine = make_engine(database, make_settings(pool_size=2))
    async with engine.connect() as one, engine.connect() as other:
        drivers = [(await each.get_raw_connection()).driver_connection for each in (one, other)]
        assert await module.share_sessions(drivers[0], drivers[0])
        assert not await module.share_sessions(*drivers)
    await engine.dispose()
