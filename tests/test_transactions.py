"""Nothing but the database is awaited in a transaction: other waits would hold its connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from dns.asyncresolver import Resolver
from dns.resolver import NXDOMAIN
from fastapi import FastAPI, Response
from sqlalchemy import URL, text

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.postgres import connection_queue
from tests.applications import client_of, running_app
from tests.catalog import Entry, every_resource
from tests.databases import LIMITS
from tests.factories import account_body, create_account
from tests.waiting import PATIENCE, come, until

KEY = {"Idempotency-Key": "one request"}


class Dns(Resolver):
    """Answers no query before it is told to, and then that there is no such domain, or nothing."""

    def __init__(self) -> None:
        super().__init__(configure=False)
        self.lifetime = PATIENCE
        self.waiting = 0
        self.answers = asyncio.Event()
        self.refuses = False

    async def resolve(self, *_: Any, **__: Any) -> Any:
        self.waiting += 1
        await asyncio.sleep(0)
        await self.answers.wait()
        self.waiting -= 1
        if self.refuses:
            raise NXDOMAIN
        raise OSError


@pytest.fixture
async def running(database: URL, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """An application with one connection. Whoever waits for it, waits."""
    monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", PATIENCE)
    async with running_app(database, pool_size=1, **dict.fromkeys(LIMITS, 0)) as application:
        yield application


@pytest.fixture
def dns(running: FastAPI) -> Dns:
    resolver = running.state.email_resolver = Dns()
    return resolver


@pytest.fixture
async def committing(running: FastAPI, dns: Dns) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(running) as client:
        yield client


class TestDns:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    @pytest.mark.parametrize("keyed", [False, True])
    async def test_a_silent_one_holds_no_connection(
        self, committing: httpx.AsyncClient, dns: Dns, method: str, keyed: bool
    ) -> None:
        dns.answers.set()
        paths = ["/accounts"] * 30
        if method != "POST":
            rows = [await create_account(committing) for _ in paths]
            paths = [f"/accounts/{row['id']}" for row in rows]
        dns.answers.clear()
        asked = [
            asyncio.create_task(
                committing.request(
                    method,
                    path,
                    json=account_body(),
                    headers={"Idempotency-Key": str(n)} if keyed else {},
                )
            )
            for n, path in enumerate(paths)
        ]
        await until(lambda: dns.waiting == 30)
        # There is one connection, and it is free.
        assert (await come(committing.get("/accounts"))).status_code == 200
        dns.answers.set()
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == (201 if method == "POST" else 200), answer.text

    @pytest.mark.parametrize("refuses", [False, True])
    async def test_a_repeat_gets_the_first_response_without_asking_it(
        self, committing: httpx.AsyncClient, dns: Dns, refuses: bool
    ) -> None:
        body = account_body()
        dns.answers.set()
        first = await committing.post("/accounts", json=body, headers=KEY)
        assert first.status_code == 201
        dns.refuses = refuses
        dns.answers.clear()
        again = await come(committing.post("/accounts", json=body, headers=KEY))
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        other = await come(committing.post("/accounts", json=account_body(), headers=KEY))
        assert other.json()["code"] == "idempotency_key_reused"

    async def test_of_two_that_ask_at_once_one_takes_effect(
        self, committing: httpx.AsyncClient, dns: Dns
    ) -> None:
        body = account_body()
        asked = [
            asyncio.create_task(committing.post("/accounts", json=body, headers=KEY))
            for _ in range(2)
        ]
        await until(lambda: dns.waiting == 2)
        dns.answers.set()
        first, second = await asyncio.gather(*asked)
        assert {first.status_code, second.status_code} == {201}
        assert first.content == second.content
        assert len((await committing.get("/accounts")).json()["data"]) == 1

    async def test_a_refusal_stores_nothing(self, committing: httpx.AsyncClient, dns: Dns) -> None:
        body = account_body()
        dns.answers.set()
        dns.refuses = True
        answer = await committing.post("/accounts", json=body, headers=KEY)
        assert answer.json()["errors"][0]["pointer"] == "/email"
        dns.refuses = False
        again = await committing.post("/accounts", json=body, headers=KEY)
        assert again.status_code == 201
        assert "idempotency-replayed" not in again.headers


@every_resource
async def test_no_operation_awaits_anything_else(
    committing: httpx.AsyncClient, dns: Dns, entry: Entry
) -> None:
    """The client fails if one does."""
    dns.answers.set()
    body = await entry.valid_body(committing)
    for _ in range(2):
        answer = await committing.post(entry.path, json=body, headers=KEY)
        assert answer.status_code == 201
    path = answer.headers["location"]
    for method, content in (("PUT", body), ("PATCH", entry.changes), ("DELETE", None)):
        answer = await committing.request(method, path, json=content)
        assert answer.is_success
    for name, parent in entry.kept_parents().items():
        row = await entry.create(committing)
        owner = f"{parent.path}/{row[name]}?cascade=true"
        assert (await committing.delete(owner)).status_code == 204


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(0), lambda: come(asyncio.sleep(0))])
async def test_one_that_does_is_found(app: FastAPI, client: httpx.AsyncClient, wait: Any) -> None:
    async def work(session: SessionDep) -> Response:
        await wait()
        await session.execute(text("SELECT 1"))
        await wait()
        return Response()

    app.router.add_api_route("/work", work, methods=["PUT"], route_class_override=StrictRoute)
    with pytest.raises(AssertionError, match=r"in a transaction: \['[^']*'\]"):
        await client.put("/work")
