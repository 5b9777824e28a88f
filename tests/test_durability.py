"""A success is durable: when the commit fails, the answer is an error and nothing is stored."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.databases import execute
from tests.factories import account_body, create_account, create_item, item_body

# Refuses every change of a table, but no sooner than at the commit.
FUNCTION = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space left for %', NEW; END $$"""
TRIGGER = """
    CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON {}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"""


@pytest.fixture
def client(committed_client: httpx.AsyncClient) -> httpx.AsyncClient:
    return committed_client


@pytest.fixture
async def item(client: httpx.AsyncClient) -> dict[str, Any]:
    """An item, whose owner was stored before commits began to fail."""
    return await create_item(client)


@pytest.fixture
async def failing_commit(item: dict[str, Any], database: URL) -> AsyncIterator[None]:
    await execute(database, FUNCTION, TRIGGER.format("accounts"))
    before = await everything(database)
    yield
    assert await everything(database) == before


async def everything(database: URL) -> list[Any]:
    """All rows, read past the application."""
    engine = create_async_engine(database, poolclass=NullPool)
    found: list[Any] = []
    async with engine.connect() as connection:
        for table in ("accounts", "items", "idempotency_keys"):
            found += (await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1"))).all()
    return found


def assert_internal(answer: httpx.Response) -> None:
    """The problem of an error that nobody expected: it tells nothing."""
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "internal"
    assert problem["errors"] == []
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert not {"etag", "location"} & answer.headers.keys()
    for leak in ("space", "SQL", "INSERT", "SELECT", "UPDATE", "DELETE", "Trace", "asyncpg"):
        assert leak not in answer.text


@pytest.mark.usefixtures("failing_commit")
class TestFailingCommit:
    async def test_of_a_create_in_one_statement(self, client: httpx.AsyncClient) -> None:
        assert_internal(await client.post("/accounts", json=account_body()))

    async def test_of_a_create_with_a_key(self, client: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "k"}
        for _ in range(2):  # the repeat runs afresh
            assert_internal(await client.post("/accounts", json=account_body(), headers=headers))

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_of_a_write(
        self, method: str, client: httpx.AsyncClient, item: dict[str, Any]
    ) -> None:
        url = f"/accounts/{item['account_id']}"
        before = (await client.get(url)).json()
        assert_internal(await client.request(method, url, json=account_body()))
        assert (await client.get(url)).json() == before

    async def test_of_a_cascade(self, client: httpx.AsyncClient, item: dict[str, Any]) -> None:
        assert_internal(await client.delete(f"/accounts/{item['account_id']}?cascade=true"))
        assert (await client.get(f"/items/{item['id']}")).json() == item

    async def test_of_a_delete_in_one_statement(
        self, client: httpx.AsyncClient, item: dict[str, Any], database: URL
    ) -> None:
        await execute(database, TRIGGER.format("items"))
        assert_internal(await client.delete(f"/items/{item['id']}"))
        assert (await client.get(f"/items/{item['id']}")).json() == item


class TestUnexpectedErrors:
    async def test_the_connections_serve_on(
        self, failing_commit: None, client: httpx.AsyncClient, database: URL
    ) -> None:
        for _ in range(25):  # more often than there are connections
            assert_internal(await client.post("/accounts", json=account_body()))
        await execute(database, "ALTER TABLE accounts DISABLE TRIGGER fail")
        account = await create_account(client)
        await client.delete(f"/accounts/{account['id']}")

    async def test_of_a_read(self, client: httpx.AsyncClient, database: URL) -> None:
        await execute(database, "ALTER TABLE items RENAME TO things")
        assert_internal(await client.get("/items"))
        assert_internal(await client.get(f"/items/{uuid4()}"))
        assert_internal(await client.post("/items", json=item_body(str(uuid4()))))

    async def test_of_a_constraint_that_nobody_named(
        self, client: httpx.AsyncClient, database: URL
    ) -> None:
        await execute(database, "ALTER TABLE accounts ADD CHECK (username <> 'eve')")
        assert_internal(await client.post("/accounts", json=account_body(username="eve")))
        account = await create_account(client, username="ada")
        answer = await client.patch(f"/accounts/{account['id']}", json={"username": "eve"})
        assert_internal(answer)
