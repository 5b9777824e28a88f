"""Commits that wait for a standby: reads go on, nobody is told a wrong outcome, nothing is lost."""

import asyncio
import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.applications import make_settings
from tests.databases import execute
from tests.factories import account_body, create_account, create_item, item_body
from tests.failures.conftest import Cluster, assert_serves, environment_of
from tests.load import post
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.slow

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event = 'SyncRep'"
)
BACKENDS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'satchel'"
)
ITEMS = text("SELECT count(*) FROM items WHERE name = :name")
POOL = make_settings().pool_size
WATCHDOG = 1


@pytest.fixture
async def service(database: URL, start_server: Callable[..., Server]) -> Server:
    """One that gives up on a write after three seconds."""
    environment = environment_of(database) | {"STATEMENT_TIMEOUT": "2", "SHUTDOWN_GRACE": "1"}
    server: Server = await asyncio.to_thread(start_server, environment)
    return server


@contextlib.asynccontextmanager
async def observing(database: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection


@pytest.fixture
async def observer(database: URL) -> AsyncIterator[AsyncConnection]:
    async with observing(database) as connection:
        yield connection


@contextlib.asynccontextmanager
async def without_standby(cluster: Cluster) -> AsyncIterator[None]:
    """Commits wait for a standby that is not there until the block ends."""
    setting = "synchronous_standby_names"
    reload = "SELECT pg_reload_conf()"
    await execute(cluster.url, f"ALTER SYSTEM SET {setting} = 'nobody'", reload)
    try:
        yield
    finally:
        await execute(cluster.url, f"ALTER SYSTEM RESET {setting}", reload)


async def until_waiting(observer: AsyncConnection, commits: int) -> None:
    async def wait() -> bool:
        return int(await observer.scalar(WAITING) or 0) >= commits

    await until(wait, f"there are not {commits} commits that wait for a standby")


def assert_unknown(answer: httpx.Response) -> None:
    """A 503 that says that the write may have taken effect."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "database_unavailable")
    assert "outcome is unknown" in problem["detail"]
    assert int(answer.headers["retry-after"]) > 0


async def test_reads_go_on_and_nothing_is_lost_or_doubled(
    service: Server,
    client: httpx.AsyncClient,
    cluster: Cluster,
    observer: AsyncConnection,
    database: URL,
) -> None:
    owner = (await create_account(client))["id"]
    await assert_serves(client)
    writes = [(item_body(owner), {"Idempotency-Key": f"k{n}"} if n % 2 else {}) for n in range(20)]
    most = 0
    reading = True

    async def read() -> int:
        nonlocal most
        times = 0
        async with observing(database) as connection:
            while reading:
                for path in (
                    "/items?limit=1",
                    f"/accounts/{owner}",
                    "/accounts?count=exact&limit=1",
                ):
                    answer = await client.get(path)
                    assert answer.status_code == 200, answer.text
                most = max(most, int(await connection.scalar(BACKENDS) or 0))
                times += 1
        return times

    async def write(body: Any, headers: Mapping[str, str]) -> httpx.Response:
        return await client.post("/items", json=body, headers=headers)

    outcomes: list[Counter[str]] = [Counter() for _ in writes]
    reader = asyncio.create_task(read())
    async with without_standby(cluster):
        for _ in range(3):
            answers = await asyncio.gather(*(write(*each) for each in writes))
            for answer, outcome in zip(answers, outcomes, strict=True):
                outcome[answer.json().get("code", "stored")] += 1
        await until_waiting(observer, 1)
        reading = False
        assert await reader > 0
    await assert_all_places_are_back(client, observer)
    assert most <= POOL + WATCHDOG
    known = {"stored", "database_unavailable", "overloaded", "idempotency_in_flight"}
    assert {code for outcome in outcomes for code in outcome} <= known
    assert any(outcome["database_unavailable"] for outcome in outcomes)
    for (body, headers), outcome in zip(writes, outcomes, strict=True):
        found = await observer.scalar(ITEMS, {"name": body["name"]})
        if not headers:  # each attempt may have stored one
            assert outcome["stored"] <= found <= outcome["stored"] + outcome["database_unavailable"]
            continue
        answer = await repeated(client, body, headers)
        assert await observer.scalar(ITEMS, {"name": body["name"]}) == 1
        if outcome["database_unavailable"]:
            assert "idempotency-replayed" in answer.headers
    log = service.log.read_text()
    assert "commit not answered" in log
    assert "request failed" not in log
    assert "database silent" not in log


async def repeated(
    client: httpx.AsyncClient, body: Any, headers: Mapping[str, str]
) -> httpx.Response:
    """The success of a request that is repeated until it has one."""
    answers: list[httpx.Response] = []

    async def succeeds() -> bool:
        answers.append(await client.post("/items", json=body, headers=headers))
        return answers[-1].status_code == 201

    await until(succeeds, "a repeat does not succeed")
    return answers[-1]


async def assert_all_places_are_back(client: httpx.AsyncClient, observer: AsyncConnection) -> None:
    await assert_serves(client)
    gauge = "satchel_database_connections_in_use"

    async def free() -> bool:
        metrics = (await client.get("/metrics")).text
        (line,) = (line for line in metrics.splitlines() if line.startswith(gauge))
        return float(line.split()[1]) <= 1 and await observer.scalar(WAITING) == 0

    await until(free, "a place is not given back")
    assert int(await observer.scalar(BACKENDS) or 0) <= POOL + WATCHDOG


async def test_whatever_writes_has_an_unknown_outcome_and_goes_on(
    service: Server, client: httpx.AsyncClient, cluster: Cluster, observer: AsyncConnection
) -> None:
    """Without a transaction, each in its own way, and in one."""
    accounts = [await create_account(client) for _ in range(4)]
    item = await create_item(client, accounts[0]["id"])
    ids = [account["id"] for account in accounts]
    mine, others = (f"/accounts/{ids[number]}/favorite" for number in (0, 1))
    assert (await client.put(others, json={"item_id": item["id"]})).is_success
    keyed = item_body(ids[0])
    headers = {"Idempotency-Key": "k"}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/accounts", {"json": account_body()}),
        ("PATCH", f"/accounts/{ids[2]}", {"json": {"username": "grace"}}),
        ("DELETE", f"/accounts/{ids[3]}", {}),
        ("PUT", mine, {"json": {"item_id": item["id"]}}),
        ("DELETE", others, {}),
        ("POST", "/items", {"json": keyed, "headers": headers}),
    ]
    async with without_standby(cluster):
        await until_effective(client, observer)
        before = int(await observer.scalar(WAITING) or 0)
        sending = (client.request(method, path, **options) for method, path, options in requests)
        for answer in await asyncio.gather(*sending):
            assert_unknown(answer)
        assert await observer.scalar(WAITING) == before + len(requests)
        assert await observer.scalar(ITEMS, {"name": keyed["name"]}) == 0
        answer = await client.post("/items", json=keyed, headers=headers)
        assert answer.json()["code"] == "idempotency_in_flight"
        assert (await client.get(f"/accounts/{ids[3]}")).status_code == 200
    assert "idempotency-replayed" in (await repeated(client, keyed, headers)).headers
    await assert_all_places_are_back(client, observer)
    assert (await client.get(f"/accounts/{ids[3]}")).status_code == 404
    assert (await client.get(f"/accounts/{ids[2]}")).json()["username"] == "grace"
    assert (await client.get(others)).status_code == 404
    assert (await client.get(mine)).status_code == 200


async def until_effective(client: httpx.AsyncClient, observer: AsyncConnection) -> None:
    """Return when one commit waits. The first ones may be too early for the new setting."""

    async def waits() -> bool:
        answer = await client.post("/accounts", json=account_body())
        return answer.status_code == 503 and bool(await observer.scalar(WAITING))

    await until(waits, "no commit waits for a standby")


@pytest.mark.parametrize("headers", [[], ["Idempotency-Key"]])
async def test_one_that_postgresql_gives_up_is_no_success(
    service: Server,
    client: httpx.AsyncClient,
    cluster: Cluster,
    observer: AsyncConnection,
    headers: list[str],
) -> None:
    """As when an operator cancels it. It is committed, but on no standby."""
    await assert_serves(client)
    async with without_standby(cluster):
        asked: asyncio.Task[httpx.Response] | None = None

        async def waits() -> bool:
            """The first ones may be too early for the new setting."""
            nonlocal asked
            if asked is None or asked.done():
                keys = {name: secrets.token_hex(8) for name in headers}
                sending = client.post("/accounts", json=account_body(), headers=keys)
                asked = asyncio.create_task(sending)
            return bool(await observer.scalar(WAITING))

        await until(waits, "no commit waits for a standby")
        assert asked is not None
        cancelled = text(f"SELECT pg_cancel_backend(pid) {str(WAITING).partition('(*)')[2]}")
        await observer.execute(cancelled)
        assert_unknown(await asked)
    await until(lambda: "commit not confirmed" in service.log.read_text(), "it is not logged")
    await assert_all_places_are_back(client, observer)


async def test_a_stop_waits_for_none(
    service: Server, client: httpx.AsyncClient, cluster: Cluster, observer: AsyncConnection
) -> None:
    await assert_serves(client)
    owner = (await create_account(client))["id"]
    bodies = [item_body(owner) for _ in range(6)]
    async with without_standby(cluster):
        writers = []
        for number, body in enumerate(bodies):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            key = [f"Idempotency-Key: k{number}"] if number % 2 else []
            writer.write(post("/items", json.dumps(body).encode(), *key))
            writers.append(writer)
            del reader
        await until_waiting(observer, 1)
        waiting = await observer.scalar(WAITING)
        assert await asyncio.to_thread(service.stop) == 0
        assert await observer.scalar(WAITING) >= waiting
        for writer in writers:
            writer.close()

    async def none_waits() -> bool:
        return bool(await observer.scalar(WAITING) == 0)

    await until(none_waits, "a commit waits for ever")
    assert "request failed" not in service.log.read_text()
