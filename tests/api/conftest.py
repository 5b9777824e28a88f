"""A client that compares both ways to a route, and a running server that the tests of bytes on the
wire share.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.api.route_table import RouteTable
from tests.catalog import CATALOG
from tests.databases import CloneDatabase
from tests.factories import create_account
from tests.servers import Server, server_environment
from tests.transactions import WatchingTransport
from tests.waiting import PATIENCE

# So that a connection that ends is one that the server ends for another reason.
NO_END = dict.fromkeys(("HEAD_TIMEOUT", "BODY_TIMEOUT", "KEEP_ALIVE_TIMEOUT"), "3600")


class BothWays(WatchingTransport):
    """Sends what changes nothing a second time, past the table of routes: the responses must be the
    same, byte for byte.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app, raise_app_exceptions=False)
        beside = copy.copy(app)
        table: Any = RouteTable
        beside.user_middleware = [each for each in app.user_middleware if each.cls is not table]
        self._beside = WatchingTransport(beside, raise_app_exceptions=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        await answer.aread()
        if request.method in ("GET", "HEAD", "OPTIONS") or answer.is_error:
            request.headers["x-request-id"] = answer.headers["x-request-id"]
            other = await self._beside.handle_async_request(request)
            await other.aread()
            assert _shown(other) == _shown(answer)
        return answer


def _shown(answer: httpx.Response) -> Any:
    return answer.status_code, answer.headers.raw, answer.content


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = BothWays(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://satchel.test") as client:
        yield client


class Running:
    """A server, and rows in its database that requests can name."""

    def __init__(self, server: Server, connection: AsyncConnection, ids: dict[str, str]) -> None:
        self.port = server.port
        self.ids = ids
        self._log = server.log
        self._connection = connection

    async def rows(self) -> Any:
        """What changes when anything is stored."""
        resources = (
            f"SELECT count(*), coalesce(sum(version), 0), max(updated) FROM {table}"
            for table in (entry.resource.table.name for entry in CATALOG)
        )
        links = (
            f"SELECT count(*), 0, NULL FROM {table}"
            for table in ("favorites", "reservations", "wishes", "idempotency_keys")
        )
        statement = text(" UNION ALL ".join([*resources, *links]))
        return (await self._connection.execute(statement)).all()

    def log_size(self) -> int:
        return self._log.stat().st_size

    def logged(self, since: int) -> str:
        with self._log.open() as log:
            log.seek(since)
            return log.read()


@pytest.fixture(scope="session")
async def running(
    clone_database: CloneDatabase,
    tmp_path_factory: pytest.TempPathFactory,
    measuring: dict[str, str],
) -> AsyncIterator[Running]:
    async with clone_database() as url:
        home = tmp_path_factory.mktemp("running")
        async with _running(url, home, measuring) as running:
            yield running


@asynccontextmanager
async def _running(url: URL, home: Path, measuring: dict[str, str]) -> AsyncIterator[Running]:
    environment = {**server_environment(url), **NO_END, **measuring}
    server = Server(environment, cwd=home)
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        await asyncio.to_thread(server.wait_until_ready)
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
            owner = await create_account(client, email="taken@example.com")
            other = await create_account(client)
            ids = {"account": owner["id"], "other": other["id"]}
            for entry in CATALOG:
                parents = {name: ids[parent.name] for name, parent in entry.parents().items()}
                rows = [await entry.create(client, **parents) for _ in range(2)]
                ids.setdefault(entry.name, rows[0]["id"])
        async with engine.connect() as connection:
            yield Running(server, connection, ids)
    finally:
        server.stop()
        await engine.dispose()


@pytest.fixture
async def unharmed(running: Running) -> AsyncIterator[None]:
    """Whatever the test sends, nothing is stored and the server is not surprised."""
    rows, size = await running.rows(), running.log_size()
    yield
    assert await running.rows() == rows
    logged = running.logged(since=size)
    assert "Traceback" not in logged
    assert '"level": "error"' not in logged
