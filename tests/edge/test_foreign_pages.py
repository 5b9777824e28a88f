"""Where no credentials are needed, pages of other sites can neither write nor read by a browser."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app.config import Settings
from app.edge.foreign_pages import ForeignHosts, ForeignOrigins
from app.errors import ForeignHost, ForeignOrigin
from app.main import create_app
from tests.api.cases import UNKNOWN
from tests.applications import client_of, document, make_settings
from tests.connections import exchange
from tests.factories import account_body
from tests.responses import assert_problem
from tests.servers import Server, server_environment

OWN, LISTED, FOREIGN = "http://satchel.test", "https://app.example.com", "https://evil.example"
OPERATIONS = [
    (method.upper(), path.format_map(dict.fromkeys(("account_id", "item_id"), UNKNOWN)))
    for path, item in document()["paths"].items()
    for method in item
    if method in ("get", "post", "put", "patch", "delete")
]
WRITES = [(method, path) for method, path in OPERATIONS if method != "GET"]
BODIES: list[dict[str, Any]] = [{"json": {}}, {"data": {"email": "x"}}, {"content": b"x" * 2**21}]
SAFE = ["GET", "HEAD", "OPTIONS"]


def scope_of(method: str, *headers: tuple[str, str]) -> dict[str, Any]:
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "method": method, "headers": encoded}


async def may_write(listed: tuple[str, ...], *headers: tuple[str, str]) -> bool:
    try:
        await ForeignOrigins(listed)(scope_of("POST", *headers))
    except ForeignOrigin:
        return False
    return True


class TestWrites:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings(cors_origins=(LISTED,), max_concurrent_requests=1)

    @pytest.mark.parametrize(
        "headers", [{"Origin": FOREIGN}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
    )
    async def test_from_pages_of_other_sites_are_refused_before_all_else(
        self, app: FastAPI, statements: list[str], headers: dict[str, str]
    ) -> None:
        app.state.counters.in_flight = 9  # so that others would be shed
        async with client_of(app) as client:
            for method, path in [*WRITES, ("POST", "/nowhere"), ("DELETE", "/accounts")]:
                for body in BODIES:
                    answer = await client.request(method, path, headers=headers, **body)
                    assert_problem(answer, 403, "forbidden", {})
                    assert "CORS_ORIGINS" in answer.json()["detail"]
                    assert "www-authenticate" not in answer.headers
        assert statements == []

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
            {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"},
            *({"Sec-Fetch-Site": site} for site in ("same-origin", "same-site", "none")),
        ],
    )
    async def test_of_others_are_not(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> None:
        answer = await client.post("/accounts", json=account_body(), headers=headers)
        assert answer.status_code == 201

    @pytest.mark.parametrize("method", SAFE)
    async def test_alone_are_refused(self, client: httpx.AsyncClient, method: str) -> None:
        for headers in ({"Origin": FOREIGN}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await client.request(method, "/accounts", headers=headers)
            assert answer.is_success

    async def test_from_any_page_may_be_allowed(self) -> None:
        for origin in (FOREIGN, "null", OWN):
            assert await may_write(("*",), ("origin", origin), ("host", "satchel.test"))

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://localhost:8000", "localhost:8000"),
            ("http://localhost", "localhost"),
            ("http://localhost", "localhost:80"),
            ("https://localhost", "localhost:443"),
            ("https://satchel.test", "Satchel.TEST"),
            ("http://[::1]:8000", "[::1]:8000"),
        ],
    )
    async def test_from_the_host_asked_are_allowed(self, origin: str, host: str) -> None:
        assert await may_write((), ("origin", origin), ("host", host))

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://localhost:8001", "localhost:8000"),
            ("http://localhost", "localhost:443"),
            ("https://localhost", "localhost:80"),
            ("http://localhost", "localhost:8000"),
            ("http://127.0.0.1:8000", "localhost:8000"),
            ("http://localhost:8000.evil.example", "localhost:8000"),
            ("http://evil.example", "localhost"),
            ("ftp://localhost", "localhost"),
            ("localhost", "localhost"),
            ("null", "null"),
            ("null", ""),
            ("", ""),
            ("", "localhost"),
        ],
    )
    async def test_from_others_are_not(self, origin: str, host: str) -> None:
        assert not await may_write((LISTED,), ("origin", origin), ("host", host))

    async def test_need_a_good_origin_each_time_and_a_host(self) -> None:
        own, host = ("origin", OWN), ("host", "satchel.test")
        assert await may_write((LISTED,), own, ("origin", LISTED), host)
        assert not await may_write((LISTED,), own, ("origin", FOREIGN), host)
        assert not await may_write((), own)


class TestCredentials:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings(auth_mode="on")

    async def test_make_the_rules_needless(self, settings: Settings) -> None:
        app = create_app(settings, on_loopback=True)  # a page of another site has none to send
        async with client_of(app) as client:
            answer = await client.post("/accounts", json={}, headers={"Origin": FOREIGN})
            assert answer.status_code == 401
            answer = await client.get("/livez", headers={"Host": "evil.example"})
            assert answer.status_code == 200


GOOD = [
    *("localhost", "localhost:8000", "LocalHost:8000", "127.0.0.1", "127.0.0.1:65535"),
    *("127.255.255.254:1", "[::1]", "[::1]:8000", "satchel.test", "SATCHEL.test:81", "x:80"),
]
BAD = [
    *("evil.example", "localhost.evil.example:8000", "evil.example:127.0.0.1", "", ":8000"),
    *("127.0.0.1.evil.example", "127.1", "128.0.0.1", "0.0.0.0", "0x7f.1", "2130706433"),
    *("[::1", "::1", "[::2]", "[::ffff:127.0.0.1]", "[::1].evil.example", "localhost:x:1", "é"),
]


class TestHosts:
    @pytest.fixture
    async def client(self, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        settings = make_settings(cors_origins=(LISTED,), allowed_hosts=("satchel.test", "x"))
        local = create_app(settings, on_loopback=True)
        local.state.statements = app.state.statements
        local.state.older_revisions = app.state.older_revisions
        async with client_of(local) as client:
            yield client

    @pytest.mark.parametrize("host", BAD)
    async def test_of_others_are_refused_whatever_is_asked(
        self, client: httpx.AsyncClient, statements: list[str], host: str
    ) -> None:
        asked = [*OPERATIONS, ("HEAD", "/accounts"), ("GET", "/docs"), ("GET", "/livez")]
        preflight = {"Origin": LISTED, "Access-Control-Request-Method": "POST"}
        for method, path in [*asked, ("OPTIONS", "/accounts"), ("GET", "/nowhere")]:
            for more in ({}, preflight):
                headers = {name.encode(): value.encode() for name, value in more.items()}
                headers[b"Host"] = host.encode()
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code == 403
                assert method == "HEAD" or answer.json()["code"] == "forbidden"
                assert "access-control-allow-origin" not in answer.headers
        assert statements == []

    @pytest.mark.parametrize("host", GOOD)
    async def test_of_this_machine_are_served(self, client: httpx.AsyncClient, host: str) -> None:
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert (await client.get("/accounts", headers=headers)).status_code == 200
        answer = await client.post("/accounts", json=account_body(), headers=headers)
        assert answer.status_code == 201

    async def test_each_counts_and_none_is_what_http_1_0_allows(self) -> None:
        guard = ForeignHosts(())
        own, other = ("host", "localhost"), ("host", "evil.example")
        await guard(scope_of("GET"))
        await guard(scope_of("GET", own, own))
        with pytest.raises(ForeignHost):
            await guard(scope_of("GET", own, other))


@pytest.mark.slow
class TestServe:
    """What is bound decides, not what is said to be."""

    @pytest.mark.parametrize(
        ("options", "status"),
        [
            ((), 403),
            (("--host", "localhost"), 403),
            (("--workers", "2"), 403),
            (("--host", "0.0.0.0"), 200),
        ],
    )
    def test_refuses_foreign_hosts_where_only_this_machine_gets_in(
        self,
        database: URL,
        start_server: Callable[..., Server],
        options: tuple[str, ...],
        status: int,
    ) -> None:
        server = start_server(server_environment(database), *options)
        for host, expected in (("evil.example", status), (f"localhost:{server.port}", 200)):
            request = f"GET /accounts HTTP/1.1\r\nHost: {host}\r\n\r\n"
            assert exchange(server.port, request.encode()).status_code == expected
        form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n"
        request = f"POST /accounts HTTP/1.1\r\nHost: x\r\nOrigin: {FOREIGN}\r\n{form}\r\n"
        answer = exchange(server.port, request.encode())
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    def test_by_uvicorn_alone_has_no_such_rule(
        self, database: URL, start_server: Callable[..., Server]
    ) -> None:
        command = ("-m", "uvicorn", "--factory", "app.main:create_app")
        server = start_server(server_environment(database), command=command)
        request = b"GET /accounts HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        assert exchange(server.port, request).status_code == 200
