"""What clients send stays out of logs, spans and problems, also when requests fail."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from tests.canaries import HEADERS, NAME, PATH, VALID, WORD, Canaries, found_in
from tests.catalog import CATALOG
from tests.collector import Collector, running_collector
from tests.databases import execute
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Start = Callable[..., Server]
LOUD = {"LOG_LEVEL": "debug", "DEBUG": "true", "REQUIRE_IF_MATCH": "false"}


def drive(server: Server) -> Canaries:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        canaries = Canaries(client)
        document: dict[str, Any] = client.get("/openapi.json").json()
        operations = {
            operation["operationId"]
            for path in document["paths"].values()
            for name, operation in path.items()
            if name != "parameters"
        }
        assert canaries.visit_all() == operations
    return canaries


def assert_unseen(server: Server, canaries: Canaries, collector: Collector) -> None:
    assert server.stop() == 0
    assert len(collector.spans()) > len(canaries.answers) / 2  # else too many were dropped
    sent = b"".join(collector.bodies).decode("latin-1")
    assert not found_in(sent, NAME, PATH, *canaries.cursors)
    log = server.log.read_text()
    assert log.count('"event":"request"') >= len(canaries.answers)
    for line in log.splitlines():
        assert not found_in(line, NAME, PATH, *canaries.cursors), line
    for text in canaries.told():
        assert not found_in(text, *canaries.cursors), text


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture
async def server(database: URL, start_server: Start, collector: Collector) -> Server:
    """A server that logs and traces as much as possible."""
    own = {**server_environment(database), **LOUD, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    found: Server = await asyncio.to_thread(start_server, own)
    return found


async def test_of_all_operations(server: Server, collector: Collector) -> None:
    canaries = await asyncio.to_thread(drive, server)
    statuses = {answer.status_code for answer in canaries.answers}
    assert statuses >= {200, 201, 204, 400, 404, 409, 412, 415, 422}
    assert canaries.cursors
    await asyncio.to_thread(assert_unseen, server, canaries, collector)


async def test_of_requests_that_fail(database: URL, server: Server, collector: Collector) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        canaries = Canaries(client)
        await asyncio.to_thread(canaries.visit_all)
        # Unexpected errors, whose messages from PostgreSQL contain the whole row.
        columns = [(one.resource.table.name, name) for one in CATALOG for name in one.texts]
        for table, column in (*columns, ("wishes", "note")):
            name = f"no_{column}"
            check = f"ADD CONSTRAINT {name} CHECK ({column} NOT LIKE 'zq%') NOT VALID"
            await execute(database, f"ALTER TABLE {table} {check}")
        await asyncio.to_thread(writes, canaries)
        await execute(database, "ALTER TABLE accounts RENAME COLUMN email_key TO gone")
        await asyncio.to_thread(writes, canaries)
        await execute(
            database, "ALTER TABLE accounts ALTER COLUMN username TYPE varchar(3) USING 'x'"
        )
        await asyncio.to_thread(writes, canaries)
    assert [answer.status_code for answer in canaries.answers].count(500) > 5
    await asyncio.to_thread(assert_unseen, server, canaries, collector)
    assert "Traceback" in server.log.read_text()


def writes(canaries: Canaries) -> None:
    accounts, items = VALID["/accounts"], VALID["/items"]
    for headers in ({}, {"Idempotency-Key": f"{WORD}2"}):
        email = f"{WORD}2@example.com"
        canaries.send("POST", "/accounts", json={**accounts, "email": email}, headers=headers)
        canaries.send("GET", "/accounts", params={"email": email, "username": WORD})
        page = canaries.client.get("/accounts")
        if page.status_code == 200 and page.json()["data"]:
            account = page.json()["data"][0]["id"]
            canaries.send("PUT", f"/accounts/{account}", json=accounts)
            canaries.send("PATCH", f"/accounts/{account}", json={"username": WORD})
            canaries.send("POST", "/items", json={**items, "account_id": account}, headers=headers)
    canaries.send("GET", "/accounts", headers=HEADERS)
