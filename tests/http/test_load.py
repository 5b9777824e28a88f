"""What is over the limit of a process is refused at once, and the process can still be seen."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app.config import Settings
from app.http.load import CountInFlight, Load
from tests.conftest import client_of, make_settings
from tests.http.answers import assert_problem


@pytest.fixture
def settings() -> Settings:
    return make_settings(max_concurrent_requests=2)


@pytest.fixture
async def gate(app: FastAPI) -> AsyncIterator[asyncio.Event]:
    """Opens the path /wait, whose requests last as long as this is not set."""
    gate = asyncio.Event()

    async def wait() -> str:
        await gate.wait()
        return "done"

    async def metrics() -> str:
        return "metrics"

    app.add_api_route("/wait", wait)
    app.add_api_route("/metrics", metrics)
    yield gate
    gate.set()


class TestShedding:
    async def test_at_the_limit_more_are_refused_at_once(
        self, app: FastAPI, gate: asyncio.Event, statements: list[str]
    ) -> None:
        load: Load = app.state.load
        async with client_of(app) as client:
            waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert load.in_flight == 2
            for path in ("/accounts", "/wait", "/nowhere"):
                answer = await asyncio.wait_for(client.get(path), 1)
                assert_problem(answer, 503, "overloaded", {})
                assert answer.headers["retry-after"] == "1"
            assert statements == []
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            assert (load.in_flight, load.shed) == (2, 3)
            gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
            assert (load.in_flight, load.shed) == (0, 3)
            assert (await client.get("/accounts")).status_code == 200

    async def test_one_after_the_other_is_never_too_many(self, client: httpx2.AsyncClient) -> None:
        answers = [await client.get("/") for _ in range(10)]
        assert {answer.status_code for answer in answers} == {200}


async def no_message() -> Message:
    raise AssertionError("nothing is read")


async def drop(_: Message) -> None:
    raise AssertionError("nothing is sent")


class TestCount:
    async def test_goes_down_when_a_request_fails_or_is_cancelled(self) -> None:
        load = Load(1)
        started = asyncio.Event()

        async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise RuntimeError("broken")

        async def hang(_scope: Scope, _receive: Receive, _send: Send) -> None:
            started.set()
            await asyncio.Event().wait()

        with pytest.raises(RuntimeError, match="broken"):
            await CountInFlight(fail, load)({"type": "http"}, no_message, drop)
        assert load.in_flight == 0
        task = asyncio.create_task(CountInFlight(hang, load)({"type": "http"}, no_message, drop))
        await started.wait()
        assert load.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert load.in_flight == 0

    async def test_is_of_requests_alone(self) -> None:
        load, seen = Load(1), []

        async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
            seen.append((scope["type"], load.in_flight))

        await CountInFlight(app, load)({"type": "lifespan"}, no_message, drop)
        assert seen == [("lifespan", 0)]
