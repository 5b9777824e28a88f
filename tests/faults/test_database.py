"""A database that is away, stands still or refuses: 503 in time, and service when it is back."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx2
import pytest
from sqlalchemy import URL

from tests.conftest import Server, execute, server_environment
from tests.factories import account_body, create_account
from tests.faults.conftest import (
    Cluster,
    assert_serves,
    assert_unavailable,
    terminate_backends,
)
from tests.load import get, load_on, post

pytestmark = pytest.mark.slow


def new_account() -> bytes:
    return post("/accounts", json.dumps(account_body()).encode())


async def test_connections_that_ended_while_idle_cost_nobody_an_error(
    client: httpx2.AsyncClient, database: URL
) -> None:
    await assert_serves(client)  # the pool is full of connections now
    for _ in range(3):
        await terminate_backends(database)
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(*(client.get("/accounts") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}


async def test_terminated_under_load_it_serves_on(
    service: Server, client: httpx2.AsyncClient, database: URL
) -> None:
    kills = 5
    async with load_on(service.port, get("/accounts?limit=5"), new_account, clients=5) as load:
        for _ in range(kills):
            await asyncio.sleep(0.3)
            await terminate_backends(database)
        await asyncio.sleep(0.3)
    assert load.lost == []
    assert load.statuses.keys() <= {200, 201, 503}
    # Only what was under way fails.
    assert load.statuses[503] <= kills * 10
    assert load.statuses[200] > load.statuses[503]
    assert max(load.seconds) < 3
    await assert_serves(client, 1)


async def test_stopped_and_started_again(client: httpx2.AsyncClient, cluster: Cluster) -> None:
    await assert_serves(client)
    await asyncio.to_thread(cluster.stop)
    try:
        for _ in range(3):
            await assert_unavailable(client)
    finally:
        await asyncio.to_thread(cluster.start)
    await assert_serves(client)


async def test_frozen_it_is_told_from_one_that_works(
    service: Server, client: httpx2.AsyncClient, cluster: Cluster
) -> None:
    await create_account(client)
    async with load_on(service.port, get("/accounts?limit=5"), new_account, clients=15) as load:
        await asyncio.sleep(0.5)
        with cluster.frozen():
            await asyncio.sleep(3.5)
            for _ in range(3):
                await assert_unavailable(client, 1)
        await assert_serves(client)
    assert load.lost == []
    assert load.statuses.keys() <= {200, 201, 503}
    # Those who were waiting when it froze, too.
    assert max(load.seconds) < 3


async def test_frozen_while_all_is_quiet(client: httpx2.AsyncClient, cluster: Cluster) -> None:
    await assert_serves(client)
    with cluster.frozen():
        await assert_unavailable(client)
        await assert_unavailable(client)
    await assert_serves(client)


async def test_frozen_it_keeps_nobody_from_leaving(
    service: Server, client: httpx2.AsyncClient, cluster: Cluster
) -> None:
    await assert_serves(client)
    with cluster.frozen():
        asked = asyncio.create_task(client.get("/accounts"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        assert await asyncio.to_thread(service.stop) == 0
        assert time.monotonic() - started < 8
        assert (await asked).status_code == 503


async def test_read_only_for_a_while(client: httpx2.AsyncClient, database: URL) -> None:
    account = await create_account(client)
    alter = f'ALTER DATABASE "{database.database}"'
    await execute(database, f"{alter} SET default_transaction_read_only = on")
    await terminate_backends(database)
    await asyncio.sleep(0.1)
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = await client.post("/accounts", json=account_body(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get(f"/accounts/{account['id']}")).status_code == 200
    restored = f"{alter} RESET default_transaction_read_only"
    await execute(database, "SET default_transaction_read_only = off", restored)
    statuses = [
        (await client.post("/accounts", json=account_body())).status_code for _ in range(20)
    ]
    assert statuses.count(503) <= 1  # from the first refusal on, all connections are new
    await assert_serves(client, 1)


async def test_no_connection_left_to_be_had(
    service: Server, database: URL, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    await asyncio.to_thread(service.stop)  # it has migrated the database
    dsn = database.set(drivername="postgresql").render_as_string(hide_password=False)
    held: list[asyncpg.Connection[asyncpg.Record]] = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while True:
            held.append(await asyncpg.connect(dsn))
    server = Server(server_environment(database) | {"MIGRATE_ON_START": "false"}, cwd=tmp_path)
    try:
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
            deadline = time.monotonic() + 15
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get("/livez")).status_code == 200:
                        break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            for _ in range(3):
                await assert_unavailable(client)
            for connection in held:
                await connection.close()
            await assert_serves(client)
    finally:
        for connection in held:
            connection.terminate()
        server.stop()


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("40001", "overloaded"),
        ("40P01", "overloaded"),
        ("55P03", "overloaded"),
        ("57014", "overloaded"),
        ("53100", "database_unavailable"),
        ("53200", "database_unavailable"),
        ("58030", "database_unavailable"),
    ],
)
async def test_a_refused_write_stores_nothing_and_may_be_repeated(
    client: httpx2.AsyncClient, database: URL, sqlstate: str, code: str
) -> None:
    await execute(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$",
        "CREATE TRIGGER refuse AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    requests = [(account_body(), {}), (account_body(), {"Idempotency-Key": "k"})]
    for body, headers in requests:
        answer = await client.post("/accounts", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) > 0
    assert (await client.get("/accounts?count=exact")).json()["count"] == 0
    await execute(database, "DROP TRIGGER refuse ON accounts")
    for body, headers in requests:
        answer = await client.post("/accounts", json=body, headers=headers)
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers
    assert (await client.get("/accounts?count=exact")).json()["count"] == 2
