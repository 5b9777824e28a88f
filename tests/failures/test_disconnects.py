"""Clients that go away in the middle of a request leave nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.applications import make_settings
from tests.factories import account_body
from tests.failures.conftest import PATIENT, assert_serves, client_for, environment_of
from tests.load import get, post
from tests.locks import held_up
from tests.servers import Server
from tests.waiting import come, until

pytestmark = pytest.mark.slow

BACKENDS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'satchel'"
    " AND datname = current_database()"
)
BUSY = text(f"{BACKENDS} AND state <> 'idle'")
ALL = text(BACKENDS)


# Those that hold a place wait for as long as it takes.
PATIENT_STATEMENTS = {"STATEMENT_TIMEOUT": "0", "LOCK_TIMEOUT": "0"}


@pytest.fixture
async def service(database: URL, start_server: Callable[..., Server]) -> Server:
    environment = environment_of(database) | PATIENT_STATEMENTS
    server: Server = await asyncio.to_thread(start_server, environment, command=PATIENT)
    return server


@pytest.fixture
async def observer(database: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection


def requests() -> list[tuple[bytes, float]]:
    """What is sent of a request, and how long its client stays."""
    body = json.dumps(account_body()).encode()
    whole, keyed = post("/accounts", body), post("/accounts", body, "Idempotency-Key: k")
    return [
        (whole[:40], 0),  # in its head
        (whole[: -len(body)], 0),  # before the body
        (whole[:-9], 0.001),  # in the body
        (whole, 0),
        (keyed, 0),
        (keyed, 0.002),
        (get("/accounts/019b0000-0000-7000-8000-000000000000"), 0),
        (get("/accounts?limit=200&count=exact"), 0.001),
        (get("/accounts") * 3, 0.001),  # with others behind it
        (get("/accounts:export"), 0.001),
    ]


async def leave(port: int, sent: bytes, seconds: float, *, reset: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        await asyncio.sleep(seconds)
    finally:
        if reset:
            writer.transport.abort()
        else:
            writer.close()
    del reader


async def leave_often(port: int, times: int, at_once: int = 50) -> None:
    todo = iter(range(times))
    kinds = requests()

    async def some() -> None:
        for number in todo:
            sent, seconds = kinds[number % len(kinds)]
            await leave(port, sent, seconds, reset=number % 2 == 0)

    await asyncio.gather(*(some() for _ in range(at_once)))


async def assert_all_places_taken(
    client: httpx.AsyncClient, observer: AsyncConnection, database: URL
) -> None:
    """Requests that a lock holds up open all connections that there may be, and no more."""
    await assert_serves(client)
    places = make_settings().pool_size
    locker = create_async_engine(database, poolclass=NullPool)
    async with locker.begin() as lock:
        await lock.execute(text("LOCK TABLE accounts"))
        asked = [asyncio.create_task(client.get("/accounts")) for _ in range(2 * places)]
        await held_up(database, places)
        # And the one that watches, unless it is just being replaced.
        assert await observer.scalar(ALL) in {places, places + 1}
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


async def assert_nothing_left(
    service: Server, client: httpx.AsyncClient, observer: AsyncConnection, database: URL
) -> None:
    async def quiet() -> bool:
        return bool(await observer.scalar(BUSY) == 0)

    await until(quiet, "a statement or a transaction is left")
    await assert_all_places_taken(client, observer, database)
    listening = 1

    async def gone() -> bool:
        """The service holds no socket of a client that went."""
        found = await asyncio.to_thread(sockets_of, service.port)
        return found <= listening + 25  # those of our own client

    await until(gone, "sockets are left")


def sockets_of(port: int) -> int:
    """How many sockets of this machine have this port for their own."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = [line.split()[1:4:2] for line in lines]
    return sum(address.endswith(f":{port:04X}") and state != "06" for address, state in local)


async def test_10000_clients_that_went_leave_nothing(
    service: Server, client: httpx.AsyncClient, observer: AsyncConnection, database: URL
) -> None:
    await assert_all_places_taken(client, observer, database)
    await come(leave_often(service.port, 10_000))
    await assert_nothing_left(service, client, observer, database)


async def test_who_goes_while_statements_run_or_wait_leaves_nothing(
    service: Server, client: httpx.AsyncClient, observer: AsyncConnection, database: URL
) -> None:
    """Ten statements are held up by a lock, and all others wait for a connection."""
    await assert_all_places_taken(client, observer, database)
    locker = create_async_engine(database, poolclass=NullPool)
    async with locker.begin() as lock:
        await lock.execute(text("LOCK TABLE accounts"))
        await come(leave_often(service.port, 500))
        assert (await client.get("/livez")).status_code == 200
    await assert_nothing_left(service, client, observer, database)


async def test_a_full_pool_tells_so_and_serves_on(
    database: URL, start_server: Callable[..., Server]
) -> None:
    environment = environment_of(database) | PATIENT_STATEMENTS
    server = await asyncio.to_thread(start_server, environment)
    locker = create_async_engine(database, poolclass=NullPool)
    async with client_for(server) as client:
        async with locker.begin() as lock:
            await lock.execute(text("LOCK TABLE accounts"))
            asked = {asyncio.create_task(client.get("/accounts")) for _ in range(40)}
            await held_up(database, make_settings().pool_size)
            assert (await client.get("/livez")).status_code == 200
            refused: set[asyncio.Task[httpx.Response]] = set()
            while len(refused) < 40 - make_settings().pool_size:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                refused |= done
            for answer in (task.result() for task in refused):
                assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
                assert int(answer.headers["retry-after"]) > 0
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert (await client.get("/accounts")).status_code == 200
