"""Replicas answer lists and exports while they are fresh enough, and the primary all else."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from sqlalchemy import URL, NullPool, func, select, table, text
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import LogCapture

from app.postgres import freshness as module
from app.postgres.background import running
from app.postgres.engine import make_engine
from app.postgres.failures import FAILURES
from app.postgres.freshness import Freshness
from app.postgres.replicas import Replicas
from app.postgres.sessions import execute_list, execute_only_write, request_session
from tests.applications import client_of, make_settings, running_app
from tests.catalog import CATALOG, Entry, every_resource
from tests.databases import LIMITS, execute
from tests.factories import create_account, next_number
from tests.poolers import running_pooler
from tests.replication import Primary, frozen, holding_replay, value_of
from tests.servers import free_port
from tests.waiting import until

pytestmark = pytest.mark.slow

# In seconds. The first lets a replica that was fresh once serve as long as a test runs.
LONG, SHORT = 3600, 0.2
NO_LIMITS = dict.fromkeys(LIMITS, 0)
NO_CACHE = {"Cache-Control": "max-age=0, No-Cache"}
# Lists of an account.
OWNED = [each for entry in CATALOG for each in entry.owned]


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[Any]]:
    """Gives the reasons for which replicas were not read, and the kinds of their errors."""
    capture = LogCapture()
    log = structlog.wrap_logger(
        structlog.ReturnLogger(), processors=[capture], wrapper_class=structlog.BoundLogger
    )
    monkeypatch.setattr(module, "log", log)
    monkeypatch.setattr(module, "LOG_INTERVAL_SECONDS", 0)
    return lambda: {
        (line["reason"], line["error"])
        for line in capture.entries
        if line["event"] == "replicas are not read"
    }


@asynccontextmanager
async def service(
    primary: Primary, replica: URL, **values: Any
) -> AsyncIterator[httpx.AsyncClient]:
    settings = {"replica_database_url": text_of(replica), **values}
    async with running_app(primary.url, **settings) as app, client_of(app) as client:
        yield client


async def reads_by(client: httpx.AsyncClient, server: str) -> int:
    """How many lists and exports this server has answered."""
    lines = (await client.get("/metrics")).text.splitlines()
    (found,) = [
        each
        for each in lines
        if each.startswith("satchel_replica_reads_total{") and f'server="{server}"' in each
    ]
    return int(float(found.split()[-1]))


async def served_by_replica(client: httpx.AsyncClient, path: str = "/accounts") -> None:
    """Return once a replica has answered a list."""

    async def is_served() -> bool:
        before = await reads_by(client, "replica")
        assert (await client.get(path)).status_code == 200
        return await reads_by(client, "replica") > before

    await until(is_served, "no replica serves")


async def ids(client: httpx.AsyncClient, path: str, **headers: str) -> set[str]:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return {row["id"] for row in answer.json()["data"]}


@every_resource
class TestWhatReplicasAnswer:
    async def test_lists_and_exports(self, primary: Primary, entry: Entry) -> None:
        async with service(primary, primary.replicate(), replica_max_lag=LONG) as client:
            row = await entry.create(client)
            await served_by_replica(client)
            await until(lambda: _lists(client, entry.path, row["id"]))
            before = await reads_by(client, "replica")
            for path in (each.path for each in entry.lists):
                filled = path.format(**{name: row[name] for name in entry.parents()})
                assert await ids(client, filled) == {row["id"]}
            exported = await client.get(f"{entry.path}:export")
            assert row["id"] in exported.text
            assert await reads_by(client, "replica") == before + len(entry.lists) + 1

    async def test_but_not_where_the_client_wants_the_newest(
        self, primary: Primary, entry: Entry
    ) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            await served_by_replica(client)
            async with holding_replay(primary.url, replica):
                row = await entry.create(client)
                assert await ids(client, entry.path) == set()
                assert await ids(client, entry.path, **NO_CACHE) == {row["id"]}
                for headers, found in (({}, False), (NO_CACHE, True)):
                    exported = await client.get(f"{entry.path}:export", headers=headers)
                    assert (row["id"] in exported.text) == found

    async def test_but_no_reads_by_id_and_no_writes(self, primary: Primary, entry: Entry) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            await served_by_replica(client)
            before = await reads_by(client, "replica")
            async with holding_replay(primary.url, replica):
                row = await entry.create(client)
                path = f"{entry.path}/{row['id']}"
                assert (await client.get(path)).json() == row
                found = await client.get(f"{entry.path}:batchGet", params={"id": row["id"]})
                assert found.json()["data"] == [row]
                assert (await client.patch(path, json=entry.changes)).json()["version"] == 2
                assert (await client.delete(path)).status_code == 204
                assert (await client.get(path)).status_code == 404
            assert await reads_by(client, "replica") == before


async def _lists(client: httpx.AsyncClient, path: str, row_id: str) -> bool:
    return row_id in await ids(client, path)


class TestSessions:
    async def test_that_have_written_read_nothing_of_replicas(self, primary: Primary) -> None:
        replica = primary.replicate()
        settings = {"replica_database_url": text_of(replica), "replica_max_lag": LONG}
        async with running_app(primary.url, **settings) as app, client_of(app) as client:
            await served_by_replica(client)
            before = await reads_by(client, "replica")
            count = select(func.count()).select_from(table("accounts"))
            written: list[int] = []
            async with holding_replay(primary.url, replica):
                for alone in (True, False):
                    await create_account(client)
                    async with request_session(app.state.statements, app.state.replicas) as session:
                        if alone:
                            await execute_only_write(session, text("SELECT pg_current_xact_id()"))
                        else:
                            await session.begin()
                        written.append((await execute_list(session, count)).scalar_one())
            assert written == [1, 2]
            assert await reads_by(client, "replica") == before


class TestFreshness:
    async def test_no_list_is_older_than_the_lag_that_is_allowed(self, primary: Primary) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=SHORT) as client:
            await served_by_replica(client)
            for held in (contextlib.nullcontext(), holding_replay(primary.url, replica)):
                async with held:
                    for _ in range(6):
                        row = await create_account(client)
                        await asyncio.sleep(SHORT)
                        assert row["id"] in await ids(client, "/accounts")

    async def test_a_replica_that_has_caught_up_serves_again(self, primary: Primary) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=SHORT) as client:
            await served_by_replica(client)

            async def primary_serves() -> bool:
                before = await reads_by(client, "primary")
                await client.get("/accounts")
                return await reads_by(client, "primary") > before

            async with holding_replay(primary.url, replica):
                row = await create_account(client)
                await until(primary_serves)
                assert row["id"] in (await client.get("/accounts:export")).text
            await served_by_replica(client)

    async def test_its_lag_is_a_metric(self, primary: Primary) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=SHORT) as client:
            await served_by_replica(client)

            async def is_behind() -> bool:
                return 3 * SHORT < await lag_of(client) < math.inf

            async def is_not() -> bool:
                return 0 <= await lag_of(client) < SHORT

            async with holding_replay(primary.url, replica):
                await create_account(client)
                await until(is_behind)
            await until(is_not)

    async def test_after_a_lost_connection_no_replica_is_tried_for_a_moment(
        self, primary: Primary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_INTERVAL_SECONDS", 0.1)
        engine = make_engine(primary.url, make_settings(), autocommit=True)
        freshness = Freshness(engine, LONG)
        assert not freshness.is_possible
        await freshness.take_position()
        assert freshness.is_possible
        freshness.note_failure(ConnectionResetError())
        assert not freshness.is_possible
        await until(lambda: freshness.is_possible)
        await engine.dispose()

    async def test_a_parent_is_looked_for_on_the_primary(self, primary: Primary) -> None:
        """It may be newer than what the replica has."""
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            await served_by_replica(client)
            async with holding_replay(primary.url, replica):
                account = await create_account(client)
                owned = [each.path.format(account_id=account["id"]) for each in OWNED]
                before = await reads_by(client, "replica")
                for path in (*owned, f"/accounts/{account['id']}/wishes"):
                    assert await ids(client, path) == set()
                    missing = path.replace(account["id"], str(uuid4()))
                    assert (await client.get(missing)).status_code == 404
                assert await reads_by(client, "replica") == before + 2 * (len(owned) + 1)

    async def test_a_replica_of_another_primary_is_not_trusted(self, primary: Primary) -> None:
        """After a failover the positions of the primary before mean nothing."""
        promoted, other = primary.replicate(), primary.replicate()
        engines = [
            make_engine(url, make_settings(), autocommit=True)
            for url in (primary.url, promoted, other)
        ]
        freshness = Freshness(engines[0], LONG)
        async with contextlib.AsyncExitStack() as stack:
            for engine in engines:
                stack.push_async_callback(engine.dispose)
            connection = await stack.enter_async_context(engines[2].connect())
            driver = (await connection.get_raw_connection()).driver_connection
            assert (await freshness.look(driver)).lag == math.inf

            async def is_fresh() -> bool:
                await freshness.take_position()
                return (await freshness.look(driver)).lag < math.inf

            await until(is_fresh)
            await execute(promoted, "SELECT pg_promote()")
            rows = "SELECT generate_series(1, 100000)"
            await execute(primary.url, f"CREATE TABLE unknown_to_the_promoted AS {rows}")
            freshness._engine = engines[1]
            await until(lambda: _is_ahead(other, promoted))
            for _ in range(20):
                assert not await is_fresh()
            assert await _is_ahead(other, promoted)


async def _is_ahead(replica: URL, primary: URL) -> bool:
    at = await value_of(primary, "pg_current_wal_flush_lsn()::text")
    return bool(await value_of(replica, f"pg_last_wal_replay_lsn() > '{at}'"))


class TestSeveralReplicas:
    async def test_one_may_serve_while_another_one_may_not(self, primary: Primary) -> None:
        held, good = primary.replicate(), primary.replicate()
        async with contextlib.AsyncExitStack() as stack:
            drivers = []
            for url in (held, good):
                engine = make_engine(url, make_settings(), autocommit=True)
                stack.push_async_callback(engine.dispose)
                connection = await stack.enter_async_context(engine.connect())
                drivers.append((await connection.get_raw_connection()).driver_connection)
            await stack.enter_async_context(holding_replay(primary.url, held))
            await execute(primary.url, "SELECT pg_logical_emit_message(true, '', '')")
            engine = make_engine(primary.url, make_settings(), autocommit=True)
            stack.push_async_callback(engine.dispose)
            freshness = Freshness(engine, LONG)

            async def is_good_fresh() -> bool:
                await freshness.take_position()
                return await freshness.is_fresh(drivers[1])

            await until(is_good_fresh)
            assert not await freshness.is_fresh(drivers[0])
            assert await freshness.is_fresh(drivers[1])

    async def test_behind_one_address_each_is_looked_at(self, primary: Primary) -> None:
        replicas = [primary.replicate(), primary.replicate()]
        async with (
            taking_turns(replicas) as address,
            service(primary, address, replica_max_lag=SHORT) as client,
        ):
            await served_by_replica(client)
            async with holding_replay(primary.url, replicas[0]):
                for _ in range(6):
                    row = await create_account(client)
                    await asyncio.sleep(SHORT)
                    # As many connections, which lead to both.
                    lists = await asyncio.gather(*[ids(client, "/accounts") for _ in range(8)])
                    assert all(row["id"] in each for each in lists)
                await served_by_replica(client)  # by the other one

    async def test_of_several_hosts_the_one_that_was_promoted_is_left(
        self, primary: Primary
    ) -> None:
        promoted, other = primary.replicate(), primary.replicate()
        hosts = [f"{each.query['host']}:{each.query['port']}" for each in (promoted, other)]
        query = {"host": hosts, "target_session_attrs": "standby"}
        url = promoted.set(query=query)
        async with service(primary, url, replica_max_lag=SHORT, pool_size=1) as client:
            await served_by_replica(client)
            await execute(promoted, "SELECT pg_promote()")
            await served_by_replica(client)
            row = await create_account(client)
            await asyncio.sleep(SHORT)
            assert row["id"] in await ids(client, "/accounts")
            assert not await value_of(promoted, "pg_is_in_recovery()")
            await served_by_replica(client)


@asynccontextmanager
async def taking_turns(servers: list[URL]) -> AsyncIterator[URL]:
    """One address for several servers, of which each new connection gets the next."""
    turns = itertools.cycle(servers)
    tasks = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = next(turns).query
        path = f"{query['host']}/.s.PGSQL.{query['port']}"
        theirs, ours = await asyncio.open_unix_connection(path)
        for pair in ((reader, ours), (theirs, writer)):
            tasks.add(asyncio.create_task(pass_on(*pair)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield servers[0].set(host="127.0.0.1", port=port, query={})
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class TestDatabases:
    async def test_whose_transactions_are_serializable_by_default(self, primary: Primary) -> None:
        """Replicas refuse such transactions."""
        name = primary.url.database
        isolation = "default_transaction_isolation = serializable"
        await execute(primary.url, f'ALTER DATABASE "{name}" SET {isolation}')
        async with service(primary, primary.replicate(), replica_max_lag=LONG) as client:
            await served_by_replica(client)
            before = await reads_by(client, "replica")
            assert (await client.get("/accounts:export")).status_code == 200
            assert await reads_by(client, "replica") == before + 1

    @pytest.mark.parametrize("synchronous_commit", ["on", "off"])
    async def test_with_an_ordinary_role(self, primary: Primary, synchronous_commit: str) -> None:
        role = primary.url.database
        await execute(
            primary.url,
            f'CREATE ROLE "{role}" LOGIN',
            f'ALTER ROLE "{role}" SET synchronous_commit = {synchronous_commit}',
            f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"',
        )
        replica = primary.replicate().set(username=role)
        own = Primary(primary.url.set(username=role), primary.folder)
        async with service(own, replica, replica_max_lag=SHORT) as client:
            await served_by_replica(client)
            row = await create_account(client)
            await asyncio.sleep(SHORT)
            assert row["id"] in await ids(client, "/accounts")
        await execute(primary.url, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


class TestPoolers:
    async def test_may_be_in_front_of_the_primary(
        self, primary: Primary, primary_server: URL, server_home: Path
    ) -> None:
        with running_pooler(primary_server, server_home / f"pooler{next_number()}") as pooler:
            own = Primary(pooler.url_of(primary.url), primary.folder)
            replica = primary.replicate()
            settings = {"database_pooler": "transaction", "migrate_on_start": False}
            async with service(own, replica, **settings) as client:
                await served_by_replica(client)

    async def test_are_refused_in_front_of_replicas(
        self, primary: Primary, server_home: Path, reasons: Callable[[], set[Any]]
    ) -> None:
        """Nobody knows to which replica the next transaction would come."""
        replica = primary.replicate()
        with running_pooler(replica, server_home / f"pooler{next_number()}") as pooler:
            async with service(primary, pooler.url_of(replica), **NO_LIMITS) as client:
                await until(reasons)
                assert (await client.get("/accounts")).status_code == 200
                assert (await client.get("/accounts:export")).status_code == 200
                assert await reads_by(client, "replica") == 0
        assert reasons() == {("a replica failed", "PoolerFound")}


class TestFaults:
    async def test_a_replica_that_dies_costs_no_request(self, primary: Primary) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            await served_by_replica(client)
            stop = asyncio.Event()

            async def ask(path: str) -> int:
                asked = 0
                while not stop.is_set():
                    answer = await client.get(path)
                    assert answer.status_code == 200, answer.text
                    asked += 1
                return asked

            paths = ("/accounts", "/items", "/accounts:export")
            asking = [asyncio.create_task(ask(path)) for path in paths]
            await asyncio.to_thread(primary.replicas.close)
            for _ in range(20):
                assert (await client.get("/accounts")).status_code == 200
            stop.set()
            assert min(await asyncio.gather(*asking)) > 0

    async def test_one_that_dies_while_it_answers(self, primary: Primary) -> None:
        """The primary answers instead, once."""
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            row = await create_account(client)
            await until(lambda: _lists(client, "/accounts", row["id"]))
            for path in ("/accounts", "/accounts:export"):
                await served_by_replica(client, "/items")
                before = await reads_by(client, "primary")
                async with locked(primary.url, replica):
                    asking = asyncio.create_task(client.get(path))
                    await until(lambda: value_of(replica, WAITING))
                    await execute(
                        replica,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE wait_event_type = 'Lock'",
                    )
                    answer = await asking
                assert (answer.status_code, row["id"] in answer.text) == (200, True)
                assert await reads_by(client, "primary") == before + 1

    async def test_one_that_hangs_costs_no_request_either(self, primary: Primary) -> None:
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG) as client:
            await served_by_replica(client)
            async with frozen(replica):
                for path in ("/accounts", "/accounts:export"):
                    before = await reads_by(client, "primary")
                    assert (await client.get(path)).status_code == 200
                    assert await reads_by(client, "primary") == before + 1
            await served_by_replica(client)

    @pytest.mark.parametrize("path", ["/accounts", "/accounts:export"])
    async def test_a_statement_that_takes_too_long_is_not_tried_again(
        self, primary: Primary, reasons: Callable[[], set[Any]], path: str
    ) -> None:
        replica = primary.replicate()
        short = {"statement_timeout": 0.5, "export_timeout": 0.5}
        async with service(primary, replica, replica_max_lag=LONG, **short) as client:
            await served_by_replica(client)
            before = await reads_by(client, "primary")
            async with locked(primary.url, replica):
                assert (await client.get(path)).status_code == 503
            assert await reads_by(client, "primary") == before
        assert reasons() == set()

    async def test_what_a_replica_refuses_is_run_by_the_primary(
        self, primary: Primary, reasons: Callable[[], set[Any]]
    ) -> None:
        """The replica goes on with other reads."""
        replica = primary.replicate()
        async with service(primary, replica, replica_max_lag=LONG, lock_timeout=0.2) as client:
            await served_by_replica(client)
            async with locked(primary.url, replica):
                assert (await client.get("/accounts")).status_code == 200
                before = await reads_by(client, "replica")
                assert (await client.get("/items")).status_code == 200
                assert await reads_by(client, "replica") == before + 1
        assert reasons() == {("a replica failed", "LockNotAvailableError")}

    async def test_an_export_whose_replica_dies_after_its_first_byte_breaks(
        self, primary: Primary
    ) -> None:
        """The client may have rows that the primary would send again."""
        replica = primary.replicate()
        pieces: list[bytes] = []
        async with running_app(primary.url, replica_database_url=text_of(replica)) as app:
            async with client_of(app) as client:
                await served_by_replica(client)
            replicas: Replicas = app.state.replicas
            rows = select(func.repeat("x", 60_000)).select_from(func.generate_series(1, 2000))

            async def write(piece: bytes) -> None:
                if not pieces:
                    await execute(replica, "SELECT " + ENDING_COPIES)
                pieces.append(piece)

            with pytest.raises(FAILURES):
                await app.state.copies.copy(rows, {}, {}, write, replicas.driver)
        assert pieces

    async def test_none_that_listens(
        self, primary: Primary, reasons: Callable[[], set[Any]]
    ) -> None:
        nowhere = primary.url.set(host="127.0.0.1", port=free_port(), query={})
        async with service(primary, nowhere) as client:
            await until(reasons)
            assert (await client.get("/accounts")).status_code == 200
            assert (await client.get("/accounts:export")).status_code == 200
            assert await reads_by(client, "replica") == 0
            assert await lag_of(client) == math.inf
        assert reasons() == {("a replica failed", "ConnectionRefusedError")}

    async def test_one_whose_lag_is_unknown(
        self, primary: Primary, reasons: Callable[[], set[Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_INTERVAL_SECONDS", 0.1)
        replica = primary.replicate()
        async with (
            holding_replay(primary.url, replica),
            service(primary, replica, replica_max_lag=SHORT) as client,
        ):
            row = await create_account(client)
            await until(reasons)
            assert await ids(client, "/accounts") == {row["id"]}
            assert await reads_by(client, "replica") == 0
        assert reasons() == {("a replica is behind by more than REPLICA_MAX_LAG", None)}

    @pytest.mark.parametrize(
        ("leads_to", "reason"),
        [
            ("the primary", "REPLICA_DATABASE_URL leads to a primary"),
            ("another database", module.OTHER_DATABASE),
            ("another cluster", module.OTHER_DATABASE),
        ],
    )
    async def test_what_is_no_replica(
        self,
        primary: Primary,
        database: URL,
        reasons: Callable[[], set[Any]],
        leads_to: str,
        reason: str,
    ) -> None:
        url = {
            "the primary": primary.url,
            "another database": primary.url.set(database="postgres"),
            "another cluster": database,
        }[leads_to]
        async with service(primary, url) as client:
            await until(reasons)
            row = await create_account(client)
            assert await ids(client, "/accounts") == {row["id"]}
            exported = await client.get("/accounts:export")
            assert row["id"] in exported.text
            assert await reads_by(client, "replica") == 0
        assert reasons() == {(reason, None)}

    async def test_a_primary_that_does_not_tell_its_position(
        self, primary: Primary, reasons: Callable[[], set[Any]]
    ) -> None:
        """A standby, for example, has none. Nobody knows how fresh replicas are."""
        engine = make_engine(primary.replicate(), make_settings(), autocommit=True)
        freshness = Freshness(engine, SHORT)
        async with running(freshness.follow()):
            await until(reasons)
        await engine.dispose()
        assert {reason for reason, _ in reasons()} == {"the primary's position is unknown"}
        assert not freshness.is_possible


WAITING = "pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' LIMIT 1"
ENDING_COPIES = (
    "pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
)


@asynccontextmanager
async def locked(primary: URL, replica: URL) -> AsyncIterator[None]:
    """Accounts can be read on the primary alone."""
    engine = create_async_engine(primary, poolclass=NullPool)
    async with contextlib.AsyncExitStack() as holding:
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"))
            # A commit sends to replicas what is in the log before it.
            await execute(primary, "SELECT pg_logical_emit_message(true, '', '')")
            lock = "count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
            await until(lambda: value_of(replica, lock))
            await holding.enter_async_context(holding_replay(primary, replica))
        yield


async def lag_of(client: httpx.AsyncClient) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    (lag,) = [line for line in lines if line.startswith("satchel_replica_lag_seconds")]
    return float(lag.split()[-1])


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)
