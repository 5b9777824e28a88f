"""An export that ends before all of it is sent tells its client so, and leaves no query."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.databases import execute
from tests.failures.conftest import Cluster, assert_serves, client_for, environment_of
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.slow

# More than the buffers between the database and a client that does not read.
ROWS = 100_000
FILL = f"""
    INSERT INTO accounts (id, email, email_key, username)
    SELECT gen_random_uuid(), email, email, rpad('ada', 100, 'a')
    FROM (SELECT 'ada' || n || '@example.com' AS email FROM generate_series(1, {ROWS}) n) AS made"""
EXPORTING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active'"
    " AND datname = current_database()"
)


@pytest.fixture
async def service(database: URL, start_server: Callable[..., Server]) -> Server:
    environment = environment_of(database) | {"SHUTDOWN_GRACE": "1", "BODY_TIMEOUT": "3600"}
    server: Server = await asyncio.to_thread(start_server, environment)
    await execute(database, FILL)
    return server


@asynccontextmanager
async def reading(service: Server) -> AsyncIterator[httpx.Response]:
    """A response of which the head and a first piece were read."""
    async with (
        client_for(service) as client,
        client.stream("GET", "/accounts:export", headers={"Accept-Encoding": "identity"}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["transfer-encoding"] == "chunked"
        yield answer


@pytest.fixture
async def observer(database: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection


async def query_ends(observer: AsyncConnection) -> None:
    async def has_ended() -> bool:
        return bool(await observer.scalar(EXPORTING) == 0)

    await until(has_ended, "the query goes on")


async def test_a_client_that_leaves_ends_the_query(
    service: Server, observer: AsyncConnection
) -> None:
    async with reading(service):
        assert await observer.scalar(EXPORTING) == 1
    await query_ends(observer)
    async with client_for(service) as client:
        answer = await client.get("/accounts:export")
    assert answer.text.count("\n") == ROWS


async def test_a_killed_database_breaks_the_connection(service: Server, cluster: Cluster) -> None:
    async with reading(service) as answer:
        await asyncio.to_thread(cluster.kill)
        with pytest.raises(httpx.RemoteProtocolError):  # before the last chunk
            async for _ in answer.aiter_raw():
                pass
    async with client_for(service) as client:
        await assert_serves(client)
        assert (await client.get("/items:export")).content == b""


async def test_a_server_that_stops_breaks_those_that_take_longer_than_its_grace(
    service: Server, observer: AsyncConnection
) -> None:
    async with reading(service) as answer:
        assert await asyncio.to_thread(service.stop) == 0
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in answer.aiter_raw():
                pass
    await query_ends(observer)
