"""Idempotency-Key over HTTP: a repeat has no effect of its own and is given the first answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI, Query, Response
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.accounts import emails
from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from tests.applications import client_of, running_app
from tests.catalog import Entry, every_resource
from tests.databases import execute
from tests.factories import account_body, create_account, item_body
from tests.locks import held_up
from tests.waiting import PATIENCE

KEY = {"Idempotency-Key": "one request"}


async def post(
    client: httpx.AsyncClient, path: str = "/accounts", key: str = "one request", **options: Any
) -> httpx.Response:
    return await client.post(path, headers={"Idempotency-Key": key}, **options)


def assert_replay(answer: httpx.Response, first: httpx.Response) -> None:
    assert answer.headers["idempotency-replayed"] == "true"
    assert answer.status_code == first.status_code
    assert answer.content == first.content
    own = ("x-request-id", "idempotency-replayed")
    replayed, before = (
        {name: value for name, value in response.headers.items() if name not in own}
        for response in (answer, first)
    )
    assert replayed == before
    assert {"etag", "location", "cache-control", "content-type"} <= before.keys()


def assert_fresh(answer: httpx.Response, status: int = 201) -> None:
    assert answer.status_code == status, answer.text
    assert "idempotency-replayed" not in answer.headers


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert_fresh(answer, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code


async def rows_in(connection: AsyncConnection, table: str) -> int:
    return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


class TestRepeats:
    @every_resource
    async def test_are_given_the_first_answer(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        body = await entry.valid_body(client, **dict.fromkeys(entry.texts, "Größe 𝄞"))
        first = await post(client, entry.path, json=body)
        assert_fresh(first)
        for _ in range(3):
            assert_replay(await post(client, entry.path, json=body), first)
        assert await rows_in(connection, entry.resource.table.name) == 1

    @every_resource
    async def test_the_first_answer_is_that_of_a_request_without_a_key(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        keyed = await post(client, entry.path, json=await entry.valid_body(client))
        plain = await client.post(entry.path, json=await entry.valid_body(client))
        assert keyed.headers.keys() == plain.headers.keys()
        assert keyed.json().keys() == plain.json().keys()

    @every_resource
    async def test_answer_what_was_even_if_it_has_changed_or_gone(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        first = await post(client, entry.path, json=body)
        address = first.headers["location"]
        assert (await client.patch(address, json=entry.changes)).json()["version"] == 2
        assert_replay(await post(client, entry.path, json=body), first)
        await client.delete(address)
        assert_replay(await post(client, entry.path, json=body), first)
        assert (await client.get(address)).status_code == 404

    @every_resource
    async def test_another_body_is_refused(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        first = await post(client, entry.path, json=body)
        for name, value in entry.changes.items():
            answer = await post(client, entry.path, json={**body, name: value})
            assert_problem(answer, 422, "idempotency_key_reused")
        assert_replay(await post(client, entry.path, json=body), first)
        assert await rows_in(connection, entry.resource.table.name) == 1

    @every_resource
    async def test_a_failure_stores_nothing(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        for name, (value, _) in entry.bad.items():
            answer = await post(client, entry.path, json={**body, name: value})
            assert_problem(answer, 422, "invalid_request")
        assert await rows_in(connection, "idempotency_keys") == 0
        assert_fresh(await post(client, entry.path, json=body))

    async def test_keys_are_of_a_path(self, client: httpx.AsyncClient) -> None:
        account = await post(client, json=account_body())
        item = await post(client, "/items", json=item_body(account.json()["id"]))
        assert_fresh(item)
        other = await post(client, "/items", "another", json=item_body(account.json()["id"]))
        assert_fresh(other)
        assert other.json()["id"] != item.json()["id"]

    async def test_keys_differ_in_case_and_space(self, client: httpx.AsyncClient) -> None:
        body = item_body((await create_account(client))["id"])
        keys = ("a b", "A B", "a  b", "a")
        for key in keys:
            assert_fresh(await post(client, "/items", key, json=body))
        assert len((await client.get("/items")).json()["data"]) == len(keys)

    @pytest.mark.parametrize("key", ["x", "x" * 255, '"a"', "a, b", "!~ %00 \\"])
    async def test_keys_are_any_printable_ascii(self, client: httpx.AsyncClient, key: str) -> None:
        body = account_body()
        first = await post(client, key=key, json=body)
        assert_fresh(first)
        assert_replay(await post(client, key=key, json=body), first)


class TestTheSame:
    """What counts as the same request: the same fields, however they were written."""

    @pytest.fixture
    async def owner(self, client: httpx.AsyncClient) -> str:
        account_id: str = (await create_account(client))["id"]
        return account_id

    async def test_json(self, client: httpx.AsyncClient, owner: str) -> None:
        body = item_body(owner, name="Größe", description=None)
        first = await post(client, "/items", json=body)
        assert_fresh(first)
        for content in (
            json.dumps(body, indent=4),
            json.dumps(dict(reversed(body.items()))),
            json.dumps(body, ensure_ascii=False),
            json.dumps(body).replace("/", "\\/"),
            f" \n{json.dumps(body)}\t ",
        ):
            headers = {**KEY, "Content-Type": "application/json; charset=utf-8"}
            answer = await client.post("/items", content=content.encode(), headers=headers)
            assert_replay(answer, first)

    async def test_forms(self, client: httpx.AsyncClient, owner: str) -> None:
        body = item_body(owner)
        first = await post(client, "/items", files={k: (None, v) for k, v in body.items()})
        assert_fresh(first)
        for files in (body.items(), reversed(body.items())):
            answer = await post(client, "/items", files={k: (None, v) for k, v in files})
            assert answer.request.headers["content-type"] != first.request.headers["content-type"]
            assert_replay(answer, first)
        assert_replay(await post(client, "/items", data=body), first)
        assert_replay(await post(client, "/items", json=body), first)

    @pytest.mark.parametrize(
        "spelling",
        [
            *({"price": price} for price in ("10.5", "10.50", 10.5, 10.50)),
            {"name": "  Lamp "},
            {"description": ...},
        ],
        ids=str,
    )
    async def test_values_in_another_spelling(
        self, client: httpx.AsyncClient, owner: str, spelling: dict[str, Any]
    ) -> None:
        body = item_body(owner, name="Lamp", price="10.50", description=None)
        first = await post(client, "/items", json=body)
        written = {name: value for name, value in {**body, **spelling}.items() if value is not ...}
        assert_replay(await post(client, "/items", json=written), first)
        upper = {**written, "account_id": owner.upper()}
        assert_replay(await post(client, "/items", json=upper), first)

    async def test_defaults_and_normal_forms(self, client: httpx.AsyncClient, owner: str) -> None:
        body = item_body(owner, price="0")
        first = await post(client, "/items", json=body)
        assert_replay(await post(client, "/items", json={**body, "price": 0}), first)
        body = account_body(country="JO", email="Ada@example.com")
        first = await post(client, json=body)
        for spelling in ({"country": "jordan"}, {"email": "Ada@EXAMPLE.com"}, {"dob": None}):
            assert_replay(await post(client, json={**body, **spelling}), first)
        answer = await post(client, json={**body, "email": "ada@example.com"})
        assert_problem(answer, 422, "idempotency_key_reused")

    async def test_in_another_process(
        self, app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What dependencies give is no part of the request."""

        async def accept(_email: str, _resolver: object) -> None: ...

        monkeypatch.setattr(emails, "require_deliverable", accept)
        body = account_body()
        app.state.email_resolver = object()
        first = await post(client, json=body)
        app.state.email_resolver = object()
        assert_replay(await post(client, json=body), first)

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "Another"},
            {"name": "item"},
            {"price": "19.91"},
            {"description": "more"},
        ],
        ids=str,
    )
    async def test_other_fields_are_refused(
        self,
        client: httpx.AsyncClient,
        connection: AsyncConnection,
        owner: str,
        change: dict[str, Any],
    ) -> None:
        body = item_body(owner, name="Item")
        first = await post(client, "/items", json=body)
        for other in ({**body, **change}, {k: v for k, v in body.items() if k != "price"}):
            answer = await post(client, "/items", json=other)
            assert_problem(answer, 422, "idempotency_key_reused")
            (fault,) = answer.json()["errors"]
            assert (fault["header"], fault["code"]) == ("Idempotency-Key", "not_unique")
        assert_replay(await post(client, "/items", json=body), first)
        assert await rows_in(connection, "items") == 1

    async def test_another_query_is_refused(self, client: httpx.AsyncClient) -> None:
        body = account_body()
        await post(client, json=body)
        assert_problem(await post(client, "/accounts?x=1", json=body), 422, "invalid_request")


class TestMalformedKeys:
    @pytest.mark.parametrize(
        "headers",
        [
            [("Idempotency-Key", "")],
            [("Idempotency-Key", "x" * 256)],
            [("Idempotency-Key", "caf\u00e9".encode())],
            [("Idempotency-Key", "caf\u00e9".encode("latin-1"))],
            [("Idempotency-Key", "a\tb")],
            [("Idempotency-Key", "a\x7fb")],
            [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
        ],
        ids=["empty", "256", "UTF-8", "Latin-1", "tab", "delete", "twice"],
    )
    async def test_are_400_before_422(
        self, client: httpx.AsyncClient, headers: list[tuple[str, str | bytes]]
    ) -> None:
        pairs = [(name.encode(), v if isinstance(v, bytes) else v.encode()) for name, v in headers]
        for body in (account_body(), {"email": "x"}):
            answer = await client.post("/accounts", json=body, headers=pairs)
            assert_problem(answer, 400, "malformed_header")
            (fault,) = answer.json()["errors"]
            assert (fault["header"], fault["code"]) == ("Idempotency-Key", "invalid_format")
        assert (await client.get("/accounts")).json()["data"] == []

    async def test_come_after_the_media_type(self, client: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "", "Content-Type": "text/plain"}
        answer = await client.post("/accounts", content="x", headers=headers)
        assert_problem(answer, 415, "unsupported_media_type")


class TestFailures:
    """Any answer other than 2xx stores nothing, and a repeat runs afresh."""

    async def test_invalid_fields(self, client: httpx.AsyncClient) -> None:
        body = account_body()
        answer = await post(client, json={**body, "email": "x"})
        assert_problem(answer, 422, "invalid_request")
        assert_problem(await post(client, "/accounts?x=1", json=body), 422, "invalid_request")
        assert_fresh(await post(client, json=body))

    async def test_a_conflict(self, client: httpx.AsyncClient, connection: AsyncConnection) -> None:
        body = account_body()
        other = await create_account(client, email=body["email"].upper())
        for _ in range(2):
            assert_problem(await post(client, json=body), 409, "email_taken")
            assert await rows_in(connection, "idempotency_keys") == 0
        await client.delete(f"/accounts/{other['id']}")
        first = await post(client, json=body)
        assert_fresh(first)
        assert_replay(await post(client, json=body), first)

    async def test_an_unknown_reference(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        account = await create_account(client)
        body = item_body("00000000-0000-7000-8000-000000000000")
        assert_problem(await post(client, "/items", json=body), 422, "account_not_found")
        assert await rows_in(connection, "idempotency_keys") == 0
        body["account_id"] = account["id"]
        assert_fresh(await post(client, "/items", json=body))


class TestExpiry:
    async def test_is_after_24_hours(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        await post(client, json=account_body())
        left = text("SELECT extract(epoch FROM expires - clock_timestamp()) FROM idempotency_keys")
        assert 86390 < float(await connection.scalar(left) or 0) <= 86400

    @pytest.mark.parametrize("swept", [False, True])
    async def test_an_expired_key_does_not_replay(
        self, client: httpx.AsyncClient, connection: AsyncConnection, swept: bool
    ) -> None:
        body = item_body((await create_account(client))["id"])
        first = await post(client, "/items", json=body)
        expire = "UPDATE idempotency_keys SET expires = clock_timestamp()"
        await connection.execute(text("DELETE FROM idempotency_keys" if swept else expire))
        second = await post(client, "/items", json=body)
        assert_fresh(second)
        assert second.json()["id"] != first.json()["id"]
        assert_replay(await post(client, "/items", json=body), second)
        # It may stand for another request then.
        await connection.execute(text(expire))
        other = {**body, "name": "Other"}
        third = await post(client, "/items", json=other)
        assert_fresh(third)
        assert_replay(await post(client, "/items", json=other), third)
        assert_problem(await post(client, "/items", json=body), 422, "idempotency_key_reused")

    async def test_a_failure_leaves_the_expired_key(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        body = account_body()
        await post(client, json=body)
        await connection.execute(text("UPDATE idempotency_keys SET expires = clock_timestamp()"))
        for _ in range(2):
            assert_problem(await post(client, json=body), 409, "email_taken")


@every_resource
class TestCost:
    async def test_with_a_key_three_and_two_for_a_repeat(
        self, client: httpx.AsyncClient, statements: list[str], entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        for kinds in (["INSERT", "INSERT", "UPDATE"], ["INSERT", "SELECT"]):
            statements.clear()
            await post(client, entry.path, json=body)
            assert [statement.split()[0] for statement in statements] == kinds

    async def test_other_methods_take_no_key(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        path = (await client.post(entry.path, json=body)).headers["location"]
        for method, content in (
            *(("PATCH", fields) for fields in (entry.changes, {}, entry.changes)),
            *(("PUT", fields) for fields in (body, {**body, **entry.changes})),
            *(("GET", None), ("DELETE", None)),
        ):
            answer = await client.request(method, path, json=content, headers=KEY)
            assert answer.is_success
            assert "idempotency-replayed" not in answer.headers
        assert await rows_in(connection, "idempotency_keys") == 0


@pytest.fixture
async def running(database: URL) -> AsyncIterator[FastAPI]:
    # Who waits for another transaction waits until the test ends that.
    limits = dict.fromkeys(
        ("lock_timeout", "statement_timeout", "idle_in_transaction_timeout"), PATIENCE
    )
    async with running_app(database, **limits) as application:
        yield application


@pytest.fixture
async def committing(running: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(running) as client:
        yield client


@pytest.fixture
async def other(database: URL) -> AsyncIterator[AsyncEngine]:
    """Another client of the database."""
    engine = create_async_engine(database)
    yield engine
    await engine.dispose()


TAKE = text(
    "INSERT INTO accounts (id, email, email_key, username)"
    " VALUES (gen_random_uuid(), :email, :email, 'first')"
)


class TestInFlight:
    """The first request waits inside its transaction, for one that may take its email."""

    async def test_a_repeat_is_told_at_once(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        body = account_body()
        async with other.connect() as blocker:
            await blocker.execute(TAKE, {"email": body["email"]})
            first = asyncio.create_task(post(committing, json=body))
            await held_up(database)
            for repeat in (body, {**body, "username": "Other"}):
                answer = await post(committing, json=repeat)
                assert_problem(answer, 409, "idempotency_in_flight")
                assert answer.headers["retry-after"] == "1"
            # Other keys, other paths and requests without a key are not held up.
            assert_fresh(await post(committing, key="another", json=account_body()))
            owner = await create_account(committing)
            assert_fresh(await post(committing, "/items", json=item_body(owner["id"])))
            assert not first.done()
            await blocker.rollback()
        assert_fresh(await first)
        assert_replay(await post(committing, json=body), await first)

    async def test_after_its_failure_a_repeat_runs_afresh(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        body = account_body()
        async with other.begin() as blocker:
            await blocker.execute(TAKE, {"email": body["email"]})
            first = asyncio.create_task(post(committing, json=body))
            await held_up(database)
        assert_problem(await first, 409, "email_taken")
        await execute(database, "DELETE FROM accounts")
        again = await post(committing, json=body)
        assert_fresh(again)
        assert_replay(await post(committing, json=body), again)

    async def test_an_expired_key_does_not_replay_meanwhile(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        body = account_body()
        expired = await post(committing, json=body)
        await committing.delete(expired.headers["location"])
        await execute(database, "UPDATE idempotency_keys SET expires = clock_timestamp()")
        async with other.connect() as blocker:
            await blocker.execute(TAKE, {"email": body["email"]})
            first = asyncio.create_task(post(committing, json=body))
            await held_up(database)
            answer = await post(committing, json=body)
            assert_problem(answer, 409, "idempotency_in_flight")
            await blocker.rollback()
        assert_fresh(await first)
        assert (await first).json()["id"] != expired.json()["id"]
        assert_replay(await post(committing, json=body), await first)

    async def test_one_that_loses_its_connection_leaves_nothing(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        body = account_body()
        async with other.connect() as blocker:
            await blocker.execute(TAKE, {"email": body["email"]})
            first = asyncio.create_task(post(committing, json=body))
            await held_up(database)
            await execute(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            assert_problem(await first, 503, "database_unavailable")
            assert (await first).headers["retry-after"]
            await blocker.rollback()
        async with other.connect() as connection:
            for table in ("accounts", "idempotency_keys"):
                assert await rows_in(connection, table) == 0
        again = await post(committing, json=body)
        assert_fresh(again)
        assert_replay(await post(committing, json=body), again)


class TestCommit:
    async def test_that_fails_leaves_neither_effect_nor_key(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        await execute(
            database,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$",
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        body = account_body()
        assert_problem(await post(committing, json=body), 500, "internal")
        async with other.connect() as connection:
            for table in ("accounts", "idempotency_keys"):
                assert await rows_in(connection, table) == 0
        await execute(database, "DROP TRIGGER late ON accounts")
        first = await post(committing, json=body)
        assert_fresh(first)
        assert_replay(await post(committing, json=body), first)

    async def test_stores_the_answer(
        self, database: URL, committing: httpx.AsyncClient, other: AsyncEngine
    ) -> None:
        first = await post(committing, json=account_body())
        async with other.connect() as connection:
            stored = text(
                "SELECT status, headers, convert_from(body, 'UTF8') FROM idempotency_keys"
            )
            status, headers, body = (await connection.execute(stored)).one()
        assert (status, body) == (201, first.text)
        assert headers == {
            name: first.headers[name] for name in ("cache-control", "etag", "location")
        }


def test_a_post_without_a_session_is_refused_when_it_is_made() -> None:
    async def endpoint() -> Response:
        return Response()

    with pytest.raises(TypeError, match="needs the parameter session"):
        StrictRoute("/x", endpoint, methods=["POST"])


async def test_what_fastapi_reads_by_itself_is_compared_as_it_was_sent(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async def make(
        session: SessionDep,
        name: Annotated[str, Body()],
        size: Annotated[int, Body()],
        shelf: Annotated[str, Query()] = "a",
    ) -> Response:
        headers = {"Cache-Control": "private", "ETag": '"1"', "Location": f"/{name}/{size}/{shelf}"}
        return Response(status_code=201, headers=headers)

    app.router.add_api_route("/made", make, methods=["POST"], route_class_override=StrictRoute)
    body = {"name": "box", "size": 3}
    first = await post(client, "/made?shelf=b", json=body)
    assert_fresh(first)
    again = await post(client, "/made?shelf=b", json=dict(reversed(body.items())))
    assert again.headers["location"] == first.headers["location"] == "/box/3/b"
    assert again.headers["idempotency-replayed"] == "true"
    for path, other in (("/made?shelf=c", body), ("/made?shelf=b", {**body, "size": 4})):
        assert_problem(await post(client, path, json=other), 422, "idempotency_key_reused")
