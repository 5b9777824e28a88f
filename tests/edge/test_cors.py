"""CORS: pages of the configured origins may call and read the responses."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.config import Settings
from app.main import create_app
from tests.applications import make_settings
from tests.factories import create_account
from tests.responses import assert_headers, assert_problem

ORIGIN = "https://app.example.com"
OTHER = "https://evil.example.com"
ASKING = {"Access-Control-Request-Method": "PATCH"}


@pytest.fixture
def settings() -> Settings:
    origins = ("http://localhost:3000", ORIGIN)
    return make_settings(cors_origins=origins, rate_limit="100/minute")


def granted(answer: httpx.Response) -> str | None:
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


class TestResponses:
    async def test_to_a_listed_origin_may_be_read(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        answer = await client.get(f"/accounts/{account['id']}", headers={"Origin": ORIGIN})
        assert answer.status_code == 200
        assert granted(answer) == ORIGIN
        assert answer.headers["vary"] == "Origin"
        shown = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"ETag", "Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy",
                "X-Request-ID", "Idempotency-Replayed", "Content-Disposition"} == shown  # fmt: skip
        assert "access-control-allow-credentials" not in answer.headers
        assert_headers(answer)

    async def test_with_errors_may_be_read_too(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        async def fail() -> None:
            raise RuntimeError

        app.add_api_route("/fails", fail)
        statuses = {"/nowhere": 404, "/accounts?x=1": 422, "/fails": 500}
        for path, status in statuses.items():
            answer = await client.get(path, headers={"Origin": ORIGIN})
            assert (answer.status_code, granted(answer)) == (status, ORIGIN)
            assert_headers(answer)
        answer = await client.post("/accounts", content="x", headers={"Origin": ORIGIN})
        assert (answer.status_code, granted(answer)) == (415, ORIGIN)

    async def test_of_guards_may_be_read_too(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        app.state.counters.in_flight = 1000
        answer = await client.get("/accounts", headers={"Origin": ORIGIN})
        assert_problem(answer, 503, "overloaded")
        assert granted(answer) == ORIGIN
        app.state.counters.in_flight = 0
        for _ in range(100):
            answer = await client.get("/", headers={"Origin": ORIGIN})
        answer = await client.get("/", headers={"Origin": ORIGIN})
        assert_problem(answer, 429, "rate_limited")
        assert granted(answer) == ORIGIN

    @pytest.mark.parametrize(
        "origin",
        [OTHER, "null", f"{ORIGIN}.evil.com", f"{ORIGIN}:8443", "http://app.example.com",
         ORIGIN.upper()],
    )  # fmt: skip
    async def test_to_other_origins_may_not_be_read(
        self, client: httpx.AsyncClient, origin: str
    ) -> None:
        answer = await client.get("/", headers={"Origin": origin})
        assert answer.status_code == 200
        assert granted(answer) is None
        answer = await client.options("/accounts", headers={"Origin": origin, **ASKING})
        assert answer.status_code == 204
        assert granted(answer) is None

    async def test_without_an_origin_vary_too(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/")
        assert granted(answer) is None
        assert answer.headers["vary"] == "Origin"

    async def test_of_the_documentation_keep_their_own_vary(
        self, client: httpx.AsyncClient
    ) -> None:
        page = (await client.get("/docs")).text
        path = page.partition('src="')[2].partition('"')[0]
        answer = await client.get(f"/{path}", headers={"Origin": ORIGIN})
        assert answer.headers["vary"] == "Accept-Encoding, Origin"


class TestPreflights:
    async def test_list_what_may_be_sent(self, client: httpx.AsyncClient) -> None:
        wanted = "authorization,content-type,if-match,idempotency-key,x-request-id,traceparent"
        asking = {**ASKING, "Access-Control-Request-Headers": wanted}
        answer = await client.options(
            "/accounts/x", headers={"Origin": ORIGIN, "X-Request-ID": "mine", **asking}
        )
        assert (answer.status_code, answer.content) == (204, b"")
        assert granted(answer) == ORIGIN
        methods = answer.headers["access-control-allow-methods"].split(", ")
        assert methods == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert set(wanted.split(",")) <= set(allowed)
        assert answer.headers["access-control-max-age"] == "600"
        assert "content-type" not in answer.headers
        assert answer.headers["x-request-id"] == "mine"
        assert_headers(answer)

    async def test_are_not_limited(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        app.state.counters.in_flight = 1000
        for _ in range(101):
            answer = await client.options("/", headers={"Origin": ORIGIN, **ASKING})
            assert (answer.status_code, granted(answer)) == (204, ORIGIN)

    async def test_do_not_grant_other_methods_or_headers(self, client: httpx.AsyncClient) -> None:
        asking = {"Access-Control-Request-Method": "TRACE", "Access-Control-Request-Headers": "x"}
        answer = await client.options("/", headers={"Origin": ORIGIN, **asking})
        assert answer.status_code == 204
        assert "TRACE" not in answer.headers["access-control-allow-methods"]
        assert "x" not in answer.headers["access-control-allow-headers"].split(", ")

    async def test_need_a_requested_method(self, client: httpx.AsyncClient) -> None:
        answer = await client.options("/accounts", headers={"Origin": ORIGIN})
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


class TestAnyOrigin:
    @pytest.fixture
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(make_settings(cors_origins=("*",)))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            yield client

    async def test_may_read_but_never_with_credentials(self, client: httpx.AsyncClient) -> None:
        for answer in (
            await client.get("/", headers={"Origin": OTHER, "Cookie": "a=b"}),
            await client.options("/", headers={"Origin": OTHER, **ASKING}),
        ):
            assert granted(answer) == "*"
            assert "access-control-allow-credentials" not in answer.headers


class TestOff:
    async def test_adds_no_middleware(self) -> None:
        assert "CrossOrigin" in str(create_app(make_settings(cors_origins=("*",))).user_middleware)
        app = create_app(make_settings())
        assert "CrossOrigin" not in str(app.user_middleware)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            answer = await client.get("/", headers={"Origin": ORIGIN})
        assert granted(answer) is None
        assert "vary" not in answer.headers
