"""Requests above the limit are refused at once, except for probes and metrics."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.config import Settings
from tests.applications import client_of, make_settings
from tests.responses import assert_problem
from tests.waiting import PATIENCE, until


@pytest.fixture
def settings() -> Settings:
    return make_settings(max_concurrent_requests=2)


@pytest.fixture
async def gate(app: FastAPI) -> AsyncIterator[asyncio.Event]:
    """Adds the path /wait, whose requests last until this event is set."""
    gate = asyncio.Event()

    async def wait() -> str:
        await gate.wait()
        return "done"

    app.add_api_route("/wait", wait)
    yield gate
    gate.set()


class TestLoadShedding:
    async def test_requests_above_the_limit_are_refused_at_once(
        self, app: FastAPI, gate: asyncio.Event, statements: list[str]
    ) -> None:
        async with client_of(app) as client:
            waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
            await until(lambda: app.state.counters.in_flight == 2)
            for path in ("/accounts", "/wait", "/nowhere"):
                answer = await asyncio.wait_for(client.get(path), PATIENCE)
                assert_problem(answer, 503, "overloaded", {})
                assert answer.headers["retry-after"] == "1"
            assert statements == []
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            scraped = (await client.get("/metrics")).text
            assert "satchel_requests_shed_total 3.0" in scraped
            gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
            assert app.state.counters.in_flight == 0
            assert (await client.get("/accounts")).status_code == 200

    async def test_sequential_requests_are_not_refused(self, client: httpx.AsyncClient) -> None:
        answers = [await client.get("/") for _ in range(10)]
        assert {answer.status_code for answer in answers} == {200}

    async def test_requests_that_wait_for_their_body_are_not_counted(
        self, app: FastAPI, gate: asyncio.Event, client: httpx.AsyncClient
    ) -> None:
        """They are once it is there, and then refused above the limit."""
        bodies, waiting_for_body = asyncio.Event(), list[int]()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b"{"
            waiting_for_body.append(1)
            await bodies.wait()
            yield b"}"

        async def post() -> httpx.Response:
            headers = {"Content-Type": "application/json"}
            return await client.post("/accounts", content=slow_body(), headers=headers)

        posts = [asyncio.create_task(post()) for _ in range(5)]
        await until(lambda: len(waiting_for_body) == 5)
        assert app.state.counters.in_flight == 0
        assert (await client.get("/accounts")).status_code == 200
        waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
        await until(lambda: app.state.counters.in_flight == 2)
        bodies.set()
        for answer in await asyncio.gather(*posts):
            assert_problem(answer, 503, "overloaded", {})
        gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert app.state.counters.in_flight == 0
        assert_problem(await post(), 422, "invalid_request")
