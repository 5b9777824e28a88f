"""Transactions are as isolated as those of the database are by default. Whatever that is, answers
are right.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Response
from sqlalchemy import URL, NullPool, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.models import Account, table_of
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from tests.applications import client_of, make_settings, running_app
from tests.databases import LIMITS, execute
from tests.environment import ISOLATION
from tests.factories import account_body, account_row, create_account, create_item
from tests.imports import as_csv
from tests.locks import held_up
from tests.responses import assert_problem

ACCOUNTS = table_of(Account)
SHOW = text("SHOW transaction_isolation")
LEVELS = ("read committed", "repeatable read", "serializable")
every_level = pytest.mark.parametrize("level", LEVELS)


async def isolate(database: URL, level: str) -> None:
    name = database.database
    await execute(
        database, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'"
    )


@asynccontextmanager
async def serving(database: URL, level: str) -> AsyncIterator[FastAPI]:
    """The application on a database of this isolation, without limits of time."""
    await isolate(database, level)
    async with running_app(database, **dict.fromkeys(LIMITS, 0)) as application:
        yield application


async def levels_found(database: URL) -> set[str]:
    """Those of statements alone and in transactions, in the application and outside of it."""
    found = set()
    async with running_app(database) as application:
        statements = application.state.statements
        for _ in range(2):  # on new connections, and on some that were used before
            found.add(await statements.scalar(SHOW))
            async with request_session(statements) as session, session.begin():
                found.add(await session.scalar(SHOW))
    engine = make_engine(database, make_settings())
    async with engine.connect() as connection:
        found.add(await connection.scalar(SHOW))
    await engine.dispose()
    return found


class TestDefault:
    async def test_is_that_of_this_run(self, database: URL) -> None:
        assert await levels_found(database) == {ISOLATION}

    @pytest.mark.parametrize("level", ["read uncommitted", *LEVELS])
    async def test_is_that_of_the_database(self, database: URL, level: str) -> None:
        await isolate(database, level)
        assert await levels_found(database) == {level}


class Rota:
    """Accounts of Jordan are on call. Whoever leaves looks first whether another one stays."""

    def __init__(self, application: FastAPI, meet: Callable[[], Awaitable[object]]) -> None:
        async def leave(account_id: UUID, session: SessionDep) -> Response:
            async with session.begin():
                staying = await session.scalar(
                    select(func.count()).where(ACCOUNTS.c.country == "JO")
                )
                await meet()
                if staying == 1:
                    return Response(status_code=409)
                await session.execute(
                    update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(country=None)
                )
            return Response(status_code=204)

        application.router.add_api_route(
            "/leave/{account_id}", leave, methods=["PUT"], route_class_override=StrictRoute
        )
        # Unlike `client_of`, it lets a transaction wait for others.
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://satchel.test")

    async def add(self, number: int) -> list[str]:
        return [(await create_account(self.client, country="JO"))["id"] for _ in range(number)]

    async def leave(self, account_id: str) -> httpx.Response:
        return await self.client.put(f"/leave/{account_id}")

    async def count(self) -> int:
        answer = await self.client.get("/accounts?country=JO&count=exact")
        return int(answer.json()["count"])


class Meeting:
    """The first two go on together."""

    def __init__(self) -> None:
        self.calls = 0
        self._both = asyncio.Barrier(2)

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls <= 2:
            await self._both.wait()


class TestWriteSkew:
    """Two transactions, each of which changes what the other one has relied on."""

    @pytest.mark.parametrize(
        ("level", "statuses", "runs_again"),
        [
            ("read committed", {204: 2}, False),  # nobody stays: each has seen the other
            ("repeatable read", {204: 2}, False),
            ("serializable", {204: 1, 409: 1}, True),
        ],
    )
    async def test_is_refused_and_then_answered_rightly(
        self, database: URL, level: str, statuses: dict[int, int], runs_again: bool
    ) -> None:
        async with serving(database, level) as application:
            meeting = Meeting()
            rota = Rota(application, meeting)
            ids = await rota.add(2)
            answers = await asyncio.gather(*map(rota.leave, ids))
            assert Counter(answer.status_code for answer in answers) == statuses
            assert (meeting.calls > 2) is runs_again
            assert await rota.count() == 2 - statuses[204]

    async def test_under_load_ends_in_503_at_worst(self, database: URL) -> None:
        async with serving(database, "serializable") as application:

            async def turn() -> None:
                await asyncio.sleep(0)

            rota = Rota(application, turn)
            leaving = await rota.add(12)
            left = Counter[int]()
            while leaving:
                others = (rota.client.post("/accounts", json=account_body()) for _ in leaving)
                answers, made = await asyncio.gather(
                    asyncio.gather(*map(rota.leave, leaving)), asyncio.gather(*others)
                )
                for answer in made:
                    assert answer.status_code == 201, answer.text
                again = []
                for account_id, answer in zip(leaving, answers, strict=True):
                    if answer.status_code == 503:
                        assert_problem(answer, 503, "overloaded", {})
                        assert answer.headers["retry-after"]
                        again.append(account_id)
                    else:
                        left[answer.status_code] += 1
                assert await rota.count() >= 1
                leaving = again
            assert left == {204: 11, 409: 1}
            assert await rota.count() == 1


@every_level
class TestMeanwhile:
    """What another transaction commits after a request's snapshot was taken."""

    @pytest.fixture
    async def application(self, database: URL, level: str) -> AsyncIterator[FastAPI]:
        async with serving(database, level) as application:
            yield application

    @pytest.fixture
    async def client(self, application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        async with client_of(application) as client:
            yield client

    @pytest.fixture
    async def other(self, database: URL) -> AsyncIterator[AsyncConnection]:
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.connect() as connection:
            yield connection

    async def after(
        self, database: URL, other: AsyncConnection, asking: Awaitable[httpx.Response]
    ) -> httpx.Response:
        """The answer to a request that waits for the other transaction, which then commits."""
        task = asyncio.ensure_future(asking)
        await held_up(database)
        await other.commit()
        return await task

    @pytest.mark.parametrize("is_batch", [False, True])
    async def test_items_go_with_their_account(
        self, database: URL, client: httpx.AsyncClient, other: AsyncConnection, is_batch: bool
    ) -> None:
        account, item = await create_account(client), await create_item(client)
        moving = "UPDATE items SET account_id = :account WHERE id = :item"
        await other.execute(text(moving), {"account": account["id"], "item": item["id"]})
        if is_batch:
            body = {"data": [{"id": account["id"]}]}
            deleting = client.post("/accounts:batchDelete?cascade=true", json=body)
        else:
            deleting = client.delete(f"/accounts/{account['id']}?cascade=true")
        answer = await self.after(database, other, deleting)
        assert answer.status_code == 204, answer.text
        assert (await client.get(f"/items/{item['id']}")).status_code == 404

    async def test_items_keep_their_account_without_cascade(
        self, database: URL, client: httpx.AsyncClient, other: AsyncConnection
    ) -> None:
        account, item = await create_account(client), await create_item(client)
        moving = "UPDATE items SET account_id = :account WHERE id = :item"
        await other.execute(text(moving), {"account": account["id"], "item": item["id"]})
        answer = await self.after(database, other, client.delete(f"/accounts/{account['id']}"))
        assert_problem(answer, 409, "account_has_items")

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
    async def test_an_email_is_taken(
        self,
        database: URL,
        client: httpx.AsyncClient,
        other: AsyncConnection,
        headers: dict[str, str],
    ) -> None:
        taken = account_row("taken")
        body = account_body(email=taken["email"])
        await other.execute(insert(ACCOUNTS).values(taken))
        asking = client.post("/accounts", json=body, headers=headers)
        assert_problem(await self.after(database, other, asking), 409, "email_taken")

    async def test_an_email_of_a_batch_is_taken(
        self, database: URL, client: httpx.AsyncClient, other: AsyncConnection
    ) -> None:
        taken = account_row("taken")
        rows = [account_body(), account_body(email=taken["email"])]
        await other.execute(insert(ACCOUNTS).values(taken))
        asking = client.post("/accounts:batchCreate", json={"data": rows})
        answer = await self.after(database, other, asking)
        assert_problem(answer, 409, "email_taken", {"/data/1/email": "not_unique"})

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
    async def test_an_email_of_an_import_is_taken(
        self,
        database: URL,
        client: httpx.AsyncClient,
        other: AsyncConnection,
        headers: dict[str, str],
    ) -> None:
        taken = account_row("taken")
        rows = [account_body(), account_body(email=taken["email"])]
        await other.execute(insert(ACCOUNTS).values(taken))
        asking = client.post(
            "/accounts:import?on_error=skip",
            content=as_csv(rows),
            headers={"Content-Type": "text/csv", **headers},
        )
        answer = await self.after(database, other, asking)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["created"], answer.json()["rejected"]) == (1, 1)

    async def test_a_key_is_taken(self, client: httpx.AsyncClient) -> None:
        """Each repeat gets the response of the first, or is told that it is running."""
        body = account_body()
        key = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(
            *(client.post("/accounts", json=body, headers=key) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes <= {"idempotency_in_flight"}
        assert (await client.get("/accounts?count=exact")).json()["count"] == 1

    async def test_a_version_is_stale(
        self, database: URL, client: httpx.AsyncClient, other: AsyncConnection
    ) -> None:
        account: dict[str, Any] = await create_account(client)
        changing = "UPDATE accounts SET version = 2, username = 'x' WHERE id = :id"
        await other.execute(text(changing), {"id": account["id"]})
        path, change = f"/accounts/{account['id']}", {"username": "eve"}
        asking = client.patch(path, json=change, headers={"If-Match": '"1"'})
        answer = await self.after(database, other, asking)
        assert_problem(answer, 412, "stale_version")
        assert answer.headers["etag"] == '"2"'
