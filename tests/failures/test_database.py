"""A database that is away, stands still or refuses: 503 in time, and service when it is back."""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import URL

from app.postgres import watchdog as watch
from tests.databases import execute
from tests.factories import account_body, create_account
from tests.failures.conftest import (
    PATIENT,
    Cluster,
    assert_serves,
    assert_unavailable,
    client_for,
    environment_of,
    heard,
    terminate_backends,
)
from tests.load import get, load_on, post
from tests.servers import Server

pytestmark = pytest.mark.slow


def new_account() -> bytes:
    return post("/accounts", json.dumps(account_body()).encode())


async def test_connections_that_ended_while_idle_cost_nobody_an_error(
    client: httpx.AsyncClient, database: URL
) -> None:
    await assert_serves(client)  # the pool is full of connections now
    for _ in range(3):
        await terminate_backends(database)
        await heard(client)
        answers = await asyncio.gather(*(client.get("/accounts") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}


async def test_terminated_under_load_it_serves_on(
    service: Server, client: httpx.AsyncClient, database: URL
) -> None:
    ended = 0
    requests = [get("/accounts?limit=5")] * 9
    async with load_on(service.port, *requests, new_account, clients=1) as load:
        for _ in range(5):
            await load.answered(50)
            ended += await terminate_backends(database)
        await load.answered(50)
    assert load.lost == []
    assert load.statuses.keys() <= {200, 201, 503}
    # Only what was under way fails: one request for each connection.
    assert load.statuses[503] <= ended
    await assert_serves(client)


async def test_stopped_and_started_again(client: httpx.AsyncClient, cluster: Cluster) -> None:
    await assert_serves(client)
    await asyncio.to_thread(cluster.stop)
    try:
        for _ in range(3):
            await assert_unavailable(client)
    finally:
        await asyncio.to_thread(cluster.start)
    await assert_serves(client)


async def test_frozen_it_is_told_from_one_that_works(
    service: Server, client: httpx.AsyncClient, cluster: Cluster
) -> None:
    await create_account(client)
    async with load_on(service.port, get("/accounts?limit=5"), new_account, clients=15) as load:
        await load.answered(50)
        with cluster.frozen():
            # Those who were waiting when it froze are told, and who comes next.
            await load.answered(50, 503)
            for _ in range(3):
                await assert_unavailable(client)
        await assert_serves(client)
    assert load.lost == []
    assert load.statuses.keys() <= {200, 201, 503}
    assert service.log.read_text().count("database silent") == 1


async def test_frozen_while_all_is_quiet(client: httpx.AsyncClient, cluster: Cluster) -> None:
    await assert_serves(client)
    with cluster.frozen():
        await assert_unavailable(client)
        await assert_unavailable(client)
    await assert_serves(client)


async def test_frozen_it_keeps_nobody_from_leaving(
    service: Server, client: httpx.AsyncClient, cluster: Cluster
) -> None:
    await assert_serves(client)
    with cluster.frozen():
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(get("/accounts"))
        await heard(client)
        assert await asyncio.to_thread(service.stop) == 0
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        writer.close()


async def test_a_service_that_was_stopped_takes_the_database_for_well(
    service: Server, client: httpx.AsyncClient
) -> None:
    """As on a laptop that was closed, or in a debugger."""
    await assert_serves(client)
    for _ in range(3):
        service.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(watch.PROBE_TIMEOUT_SECONDS + 0.5)
        service.process.send_signal(signal.SIGCONT)
        assert (await client.get("/accounts")).status_code == 200
    assert "database silent" not in service.log.read_text()


async def test_clients_that_wait_for_no_answer_silence_nothing(
    service: Server, client: httpx.AsyncClient
) -> None:
    """They keep it busy, and everybody is served."""
    served: Counter[bytes] = Counter()

    async def pipeline() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)

        async def send() -> None:
            while True:
                writer.write(get("/accounts") * 100)
                await writer.drain()

        sending = asyncio.create_task(send())
        for _ in range(200):
            head = await reader.readuntil(b"\r\n\r\n")
            served[head.split()[1]] += 1
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        sending.cancel()
        writer.transport.abort()

    clients = asyncio.gather(*(pipeline() for _ in range(4)))
    while not clients.done():
        assert (await client.get("/accounts")).status_code == 200
    await clients
    assert served == {b"200": 800}
    assert "database silent" not in service.log.read_text()


async def test_read_only_for_a_while(client: httpx.AsyncClient, database: URL) -> None:
    account = await create_account(client)
    alter = f'ALTER DATABASE "{database.database}"'
    await execute(database, f"{alter} SET default_transaction_read_only = on")
    await terminate_backends(database)
    await heard(client)
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
    await assert_serves(client)


async def test_no_connection_left_to_be_had(
    service: Server, database: URL, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    await asyncio.to_thread(service.stop)  # it has migrated the database
    dsn = database.set(drivername="postgresql").render_as_string(hide_password=False)
    held: list[asyncpg.Connection[asyncpg.Record]] = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while True:
            held.append(await asyncpg.connect(dsn))
    environment = environment_of(database) | {"MIGRATE_ON_START": "false"}
    server = Server(environment, cwd=tmp_path, command=PATIENT)
    try:
        await asyncio.to_thread(server.wait_until_answers, "/livez")
        async with client_for(server) as client:
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
    client: httpx.AsyncClient, database: URL, sqlstate: str, code: str
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
