"""`?validate_only=true`: the answer that a write would get, and nothing stored."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Query, Response
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep, get_session
from app.api.validate_only import WriteQuery, validatable
from app.models import Account
from tests.api.batching import at_rows, create, send, stored, total, valid_bodies
from tests.api.cases import FORM, JSON, MULTIPART, UNKNOWN, sent_as
from tests.applications import client_of
from tests.catalog import Entry, every_resource
from tests.factories import account_body, create_account, create_item
from tests.responses import assert_problem, without

VALIDATE: dict[str, Any] = {"validate_only": "true"}
MADE = ("id", "created", "updated")
both_updates = pytest.mark.parametrize("method", ["PUT", "PATCH"])


def assert_would_be(answer: httpx.Response, status: int = 200) -> Any:
    """The answer of a request that stored nothing; its body."""
    assert answer.status_code == status, answer.text
    assert not {"etag", "location", "idempotency-replayed"} & answer.headers.keys()
    return answer.json() if answer.content else None


@every_resource
class TestSingle:
    @pytest.mark.parametrize("media_type", [JSON, FORM, MULTIPART])
    async def test_create(self, client: httpx.AsyncClient, entry: Entry, media_type: str) -> None:
        body = await entry.valid_body(client)
        before = await total(client, entry)
        sent = sent_as(media_type, body)
        row = assert_would_be(await client.post(entry.path, params=VALIDATE, **sent))
        assert await total(client, entry) == before
        assert (await client.get(f"{entry.path}/{row['id']}")).status_code == 404
        answer = await client.post(entry.path, params={"validate_only": "false"}, **sent)
        assert answer.status_code == 201
        assert without(answer.json(), *MADE) == without(row, *MADE)
        assert answer.headers["cache-control"] == "private, no-cache"

    @both_updates
    async def test_replace_and_change(
        self, client: httpx.AsyncClient, entry: Entry, method: str
    ) -> None:
        row = await entry.create(client)
        path, body = f"{entry.path}/{row['id']}", {**row, **entry.changes}
        answer = await client.request(method, path, json=body, params=VALIDATE)
        changed = assert_would_be(answer)
        assert without(changed, "updated") == {**without(body, "updated"), "version": 2}
        assert (await client.get(path)).json() == row
        same = assert_would_be(await client.request(method, path, json=row, params=VALIDATE))
        assert same == row
        answer = await client.request(method, path, json=body)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')

    @both_updates
    async def test_the_problem_is_that_of_the_request(
        self, client: httpx.AsyncClient, entry: Entry, method: str
    ) -> None:
        row = await entry.create(client)
        path = f"{entry.path}/{row['id']}"
        valid = {**row, **entry.changes}
        references = {name: str(uuid4()) for name in entry.parents()}
        requests: list[tuple[str, str, Any, dict[str, str]]] = [
            ("POST", entry.path, {"x": 1}, {}),
            ("POST", entry.path, row, {}),
            (method, path, {**valid, "x": 1}, {}),
            (method, path, {**valid, "version": 7}, {}),
            (method, path, without(valid, "version"), {"If-Match": '"7"'}),
            (method, path, without(valid, "version"), {"If-None-Match": "*"}),
            (method, f"{entry.path}/{UNKNOWN}", without(valid, "id"), {}),
        ]
        if references:
            body = {**await entry.valid_body(client), **references}
            requests += [("POST", entry.path, body, {}), (method, path, {**row, **references}, {})]
        for verb, target, body, headers in requests:
            problem = await client.request(verb, target, json=body, headers=headers)
            assert problem.status_code >= 400
            answer = await client.request(verb, target, json=body, headers=headers, params=VALIDATE)
            assert answer.status_code == problem.status_code
            assert without(answer.json(), "request_id") == without(problem.json(), "request_id")
            assert answer.headers.get("etag") == problem.headers.get("etag")
        assert (await client.get(path)).json() == row

    async def test_other_methods_do_not_take_it(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        row = await entry.create(client)
        path = f"{entry.path}/{row['id']}"
        for method, target in (("GET", path), ("GET", entry.path), ("DELETE", path)):
            answer = await client.request(method, target, params=VALIDATE)
            faults = {"?validate_only": "unknown"}
            assert_problem(answer, 422, "invalid_request", faults)
        assert (await client.get(path)).json() == row


@every_resource
class TestBatches:
    async def test_create(self, client: httpx.AsyncClient, entry: Entry) -> None:
        sent = await valid_bodies(client, entry, 5)
        before = await total(client, entry)
        would_be = assert_would_be(await send(client, entry, "Create", sent, **VALIDATE))
        assert await total(client, entry) == before
        answer = await send(client, entry, "Create", sent)
        assert answer.status_code == 201
        assert [without(row, *MADE) for row in answer.json()["data"]] == [
            without(row, *MADE) for row in would_be["data"]
        ]

    async def test_update_and_delete(self, client: httpx.AsyncClient, entry: Entry) -> None:
        rows = await create(client, entry, 5)
        sent = [{"id": row["id"], **entry.changes} for row in rows]
        would_be = assert_would_be(await send(client, entry, "Update", sent, **VALIDATE))
        assert {row["version"] for row in would_be["data"]} == {2}
        ids = [{"id": row["id"]} for row in rows]
        assert assert_would_be(await send(client, entry, "Delete", ids, **VALIDATE), 204) is None
        assert await stored(client, entry, rows) == rows

    async def test_the_problem_is_that_of_the_request(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = await create(client, entry, 2)
        ids = [{"id": row["id"]} for row in rows]
        requests = [
            ("Create", [{"x": 1}]),
            ("Update", [{**ids[0], "version": 7}, ids[1]]),
            ("Update", [*ids, {"id": UNKNOWN}]),
            ("Delete", [{**ids[0], "version": 7}, ids[1]]),
            ("Delete", [*ids, {"id": UNKNOWN}]),
        ]
        for verb, sent in requests:
            problem = await send(client, entry, verb, sent)
            answer = await send(client, entry, verb, sent, **VALIDATE)
            assert answer.status_code == problem.status_code >= 400
            assert without(answer.json(), "request_id") == without(problem.json(), "request_id")
        assert await stored(client, entry, rows) == rows

    async def test_conflicts_are_found_in_the_database(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for name, parent in entry.kept_parents().items():
            owners = await create(client, parent, 2)
            await entry.create(client, **{name: owners[1]["id"]})
            ids = [{"id": row["id"]} for row in owners]
            answer = await send(client, parent, "Delete", ids, **VALIDATE)
            (code,) = {problem().code for problem in parent.resource.dependents.values()}
            assert_problem(answer, 409, code, at_rows({"/id": code}, 1))


@every_resource
async def test_an_idempotency_key_is_ignored(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
) -> None:
    headers = {"Idempotency-Key": "one request"}
    body = await entry.valid_body(client)
    for path, sent in ((entry.path, body), (f"{entry.path}:batchCreate", {"data": [body]})):
        for _ in range(2):
            answer = await client.post(path, params=VALIDATE, json=sent, headers=headers)
            assert_would_be(answer)
        assert await connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0
    # It is not used up, and what is stored for it is not replayed.
    other = await entry.valid_body(client)
    assert (await client.post(entry.path, json=body, headers=headers)).status_code == 201
    assert_would_be(await client.post(entry.path, json=other, headers=headers, params=VALIDATE))
    malformed = {b"Idempotency-Key": b"\x80"}
    answer = await client.post(entry.path, json=other, headers=malformed, params=VALIDATE)
    assert_problem(answer, 400, "malformed_header", {"Idempotency-Key:": "invalid_format"})


async def test_a_taken_email_is_found(client: httpx.AsyncClient) -> None:
    taken = await create_account(client)
    body = account_body(email=taken["email"].upper())
    answer = await client.post("/accounts", json=body, params=VALIDATE)
    assert_problem(answer, 409, "email_taken", {"/email": "not_unique"})
    other = await create_account(client)
    answer = await client.patch(
        f"/accounts/{other['id']}", json={"email": taken["email"]}, params=VALIDATE
    )
    assert_problem(answer, 409, "email_taken", {"/email": "not_unique"})


async def test_a_cascade_is_undone(client: httpx.AsyncClient) -> None:
    item = await create_item(client)
    sent = {"data": [{"id": item["account_id"]}]}
    path = "/accounts:batchDelete?cascade=true"
    assert_would_be(await client.post(f"{path}&validate_only=true", json=sent), 204)
    assert (await client.get(f"/items/{item['id']}")).json() == item
    assert (await client.post(path, json=sent)).status_code == 204
    assert (await client.get(f"/items/{item['id']}")).status_code == 404


async def test_links_do_not_take_it(client: httpx.AsyncClient) -> None:
    item = await create_item(client)
    path = f"/accounts/{item['account_id']}/favorite"
    answer = await client.put(path, json={"item_id": item["id"]}, params=VALIDATE)
    assert_problem(answer, 422, "invalid_request", {"?validate_only": "unknown"})


@every_resource
async def test_nothing_of_it_is_seen_by_others_and_nothing_is_left(
    committed_client: httpx.AsyncClient, committed_app: FastAPI, entry: Entry
) -> None:
    client = committed_client
    sent = await valid_bodies(client, entry, 3)
    before = await total(client, entry)
    answers = await asyncio.gather(
        *(send(client, entry, "Create", sent, **VALIDATE) for _ in range(10)),
        *(client.post(entry.path, json=sent[0], params=VALIDATE) for _ in range(10)),
    )
    for answer in answers:
        assert_would_be(answer)
    assert await total(client, entry) == before
    assert committed_app.state.statements.queue.in_use == 0


@pytest.fixture
async def overriding(committed_app: FastAPI, database: URL) -> AsyncIterator[FastAPI]:
    """Where sessions are those that SQLAlchemy's documentation shows."""
    engine = create_async_engine(database)

    async def get_plain_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session
            await session.commit()

    committed_app.dependency_overrides[get_session] = get_plain_session
    yield committed_app
    committed_app.dependency_overrides.clear()
    await engine.dispose()


@every_resource
async def test_with_a_session_of_somebody_else(overriding: FastAPI, entry: Entry) -> None:
    async with client_of(overriding) as client:
        sent = await valid_bodies(client, entry, 3)
        before = await total(client, entry)
        assert_would_be(await send(client, entry, "Create", sent, **VALIDATE))
        assert_would_be(await client.post(entry.path, json=sent[0], params=VALIDATE))
        assert await total(client, entry) == before
        assert (await send(client, entry, "Create", sent)).status_code == 201
        assert await total(client, entry) == before + 3
        answer = await send(client, entry, "Create", [{"x": 1}, *sent])
        assert answer.status_code == 422


async def test_whatever_the_endpoint_does_in_its_session_is_undone(
    committed_app: FastAPI,
) -> None:
    """With SQLAlchemy's ORM, and with a query of its own."""

    class OwnQuery(WriteQuery):
        name: str

    @validatable
    async def add_account(query: Annotated[OwnQuery, Query()], session: SessionDep) -> Response:
        email = f"{query.name}@example.com"
        session.add(Account(email=email, email_key=email, username=query.name))
        await session.flush()
        return Response(status_code=201)

    route = StrictRoute("/made", add_account, methods=["POST"])
    committed_app.router.routes.append(route)
    async with client_of(committed_app) as client:
        answer = await client.post("/made", params={"name": "ada", **VALIDATE})
        assert answer.status_code == 200
        assert (await client.get("/accounts")).json()["data"] == []
        answer = await client.post("/made", params={"name": "ada"})
        assert answer.status_code == 201
        answer = await client.get("/accounts")
        assert [row["username"] for row in answer.json()["data"]] == ["ada"]
