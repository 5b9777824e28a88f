"""What the documentation of FastAPI and SQLAlchemy teaches works beside our own resources."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, text

from app.api.sessions import get_session
from app.errors import Overloaded
from tests.applications import client_of, running_app
from tests.conventions import toys
from tests.conventions.toys import ROUTERS, TABLES, get_lucky_number, get_shelf
from tests.databases import execute

# Routes of ours as `create_app` adds them and as `include_router` does, and FastAPI's own.
BASES = ("/strict", "/included/strict", "/included/plain")


@pytest.fixture
async def app(database: URL) -> AsyncIterator[FastAPI]:
    await execute(database, *TABLES)
    toys.seen.clear()
    async with running_app(database) as application:
        for router in ROUTERS:
            application.include_router(router, prefix="/included")
            application.router.routes.extend(router.routes)
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def count(app: FastAPI) -> int:
    return int(await app.state.statements.scalar(text("SELECT count(*) FROM toys")))


@pytest.mark.parametrize("base", BASES)
class TestSessions:
    async def test_orm_style_works(self, base: str, client: httpx.AsyncClient) -> None:
        created = await client.post(f"{base}/toys", json={"name": "ball"})
        assert (created.status_code, created.json()["name"]) == (201, "ball")
        (toy,) = (await client.get(f"{base}/toys")).json()
        path = f"{base}/toys/{toy['id']}"
        assert (await client.get(path)).json() == toy
        renamed = await client.put(path, json={"name": "cube"})
        assert renamed.json() == {**toy, "name": "cube"}
        assert (await client.get(path)).json()["name"] == "cube"
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).json()["code"] == "not_found"

    async def test_relations_load(
        self, base: str, client: httpx.AsyncClient, database: URL
    ) -> None:
        await execute(
            database,
            "INSERT INTO toy_boxes VALUES (1, 'old')",
            "INSERT INTO toys (name, box_id) VALUES ('ball', 1), ('cube', 1)",
        )
        assert (await client.get(f"{base}/boxes/1")).json() == {
            "label": "old",
            "toys": ["ball", "cube"],
        }

    async def test_two_writes_are_stored_together_or_not_at_all(
        self, base: str, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        answer = await client.put(f"{base}/two-writes?fail=true")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert await count(app) == 0
        assert (await client.put(f"{base}/two-writes")).json() == 1
        assert await count(app) == 1

    async def test_a_commit_that_fails_is_no_success(
        self, base: str, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        answer = await client.put(f"{base}/fails-at-commit")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert await count(app) == 0

    async def test_a_savepoint_takes_back_its_own_part(
        self, base: str, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        assert (await client.put(f"{base}/savepoint")).json() == "ok"
        assert await count(app) == 1

    async def test_connections_come_back(
        self, base: str, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        for _ in range(app.state.settings.pool_size + 1):
            await client.get(f"{base}/toys")
            await client.put(f"{base}/two-writes?fail=true")
        assert app.state.statements.queue.in_use == 0


@pytest.mark.parametrize("base", BASES)
class TestDeclarations:
    async def test_dependencies_headers_cookies_and_tasks(
        self, base: str, client: httpx.AsyncClient
    ) -> None:
        headers = {"User-Agent": "toys", "Cookie": "crumb=sweet"}
        answer = await client.get(f"{base}/declares?q=ball", headers=headers)
        assert answer.json() == {
            "found": "ball on the top shelf",
            "agent": "toys",
            "crumb": "sweet",
            "lucky": 7,
        }
        # FastAPI leaves a dependency of its default scope after the response and its tasks.
        assert toys.seen == ["opened", "lucky", "endpoint", "task", "closed"]

    async def test_what_is_missing_is_a_fault(self, base: str, client: httpx.AsyncClient) -> None:
        answer = await client.get(f"{base}/red")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        (fault,) = answer.json()["errors"]
        assert (fault["header"], fault["code"]) == ("x-color", "required")

    async def test_dependencies_of_a_route(self, base: str, client: httpx.AsyncClient) -> None:
        assert (await client.get(f"{base}/red", headers={"X-Color": "red"})).json() == "red"
        answer = await client.get(f"{base}/red", headers={"X-Color": "blue"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_a_dependency_sees_what_was_raised(
        self, base: str, client: httpx.AsyncClient
    ) -> None:
        assert (await client.get(f"{base}/raises")).status_code == 404
        assert toys.seen == ["opened", "raised NotFound", "closed"]

    async def test_overrides(self, base: str, app: FastAPI, client: httpx.AsyncClient) -> None:
        app.dependency_overrides[get_shelf] = lambda: "low"
        app.dependency_overrides[get_lucky_number] = lambda: 13
        answer = (await client.get(f"{base}/declares")).json()
        assert (answer["found"], answer["lucky"]) == ("any on the low shelf", 13)
        refused = (await client.get(f"{base}/declares?unknown=1")).status_code
        assert refused == (200 if base.endswith("plain") else 422)
        assert "lucky" not in toys.seen

    async def test_a_request_and_a_response(self, base: str, client: httpx.AsyncClient) -> None:
        assert (await client.get(f"{base}/path")).text == f"{base}/path"

    async def test_a_body_that_was_parsed_can_be_read(
        self, base: str, client: httpx.AsyncClient
    ) -> None:
        json = {"Content-Type": "application/json"}
        answer = await client.put(f"{base}/echo", content=b'{ "name": "ball" }', headers=json)
        assert answer.content == b'{ "name": "ball" }'

    async def test_a_broken_body_is_malformed(self, base: str, client: httpx.AsyncClient) -> None:
        json = {"Content-Type": "application/json"}
        answer = await client.post(f"{base}/toys", content=b'{"name"', headers=json)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


class TestOurs:
    """Resources of ours, with what the documentation teaches for tests."""

    async def test_the_session_may_be_overridden(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        def refuse() -> Any:
            raise Overloaded

        app.dependency_overrides[get_session] = refuse
        assert (await client.get("/accounts")).json()["code"] == "overloaded"
        app.dependency_overrides.clear()
        assert (await client.get("/accounts")).status_code == 200

    async def test_bodies_and_queries_are_as_strict_by_the_long_way(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        app.dependency_overrides[get_shelf] = get_shelf
        body = {"email": "no", "username": "", "nobody": 1}
        by_long = await client.post("/accounts?x=1", json=body)
        app.dependency_overrides.clear()
        by_short = await client.post("/accounts?x=1", json=body)
        drop = ("request_id",)
        assert {k: v for k, v in by_long.json().items() if k not in drop} == {
            k: v for k, v in by_short.json().items() if k not in drop
        }
