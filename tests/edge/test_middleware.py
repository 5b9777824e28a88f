"""Every response has an id, the common headers, and a line in the log."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.middleware import RequestMiddleware
from app.errors import NotFound
from app.main import create_app
from app.telemetry.logs import Lines
from app.telemetry.request_counters import RequestCounters
from tests.api.cases import JSON, UNKNOWN
from tests.applications import client_of, make_settings
from tests.catalog import CATALOG
from tests.factories import account_body, create_account
from tests.responses import assert_headers, assert_problem

LIMIT = 1_048_576


class TestRequestId:
    @pytest.mark.parametrize("own", ["a", "A-z_0.9", "x" * 128, "01890000-0000-7000-8000-0"])
    async def test_is_the_clients_own(self, client: httpx.AsyncClient, own: str) -> None:
        for target in ("/", "/accounts", "/nowhere", "/accounts?limit=0", "/docs"):
            answer = await client.get(target, headers={"X-Request-ID": own})
            assert answer.headers.get_list("x-request-id") == [own]

    @pytest.mark.parametrize(
        "own", ["", "x" * 129, "a b", "a/b", "a\tb", '"a"', "\xe9", "a;b", "a,b"]
    )
    async def test_is_a_new_one_if_the_clients_is_not_usable(
        self, client: httpx.AsyncClient, own: str
    ) -> None:
        headers = [(b"X-Request-ID", own.encode("latin-1"))]
        answer = await client.get("/nowhere", headers=headers)
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
        assert_problem(answer, 404, "not_found")

    async def test_differs_between_requests(self, client: httpx.AsyncClient) -> None:
        ids = [(await client.get("/")).headers["x-request-id"] for _ in range(50)]
        assert len(set(ids)) == 50


class TestHeaders:
    async def test_are_in_every_response(self, client: httpx.AsyncClient) -> None:
        created = await client.post("/accounts", json=account_body())
        path = created.headers["location"]
        answers = [
            created,
            await client.get(path),
            await client.get(path, headers={"If-None-Match": "*"}),
            await client.options(path),
            await client.delete(path),
            await client.post("/accounts"),
            await client.post("/accounts", content="x"),
            await client.get("/nowhere"),
            await client.post(path),
            await client.get("/accounts?x"),
            await client.put(path, json=account_body()),
            await client.get("/livez"),
            await client.get("/docs"),
            await client.get("/problems/internal"),
        ]
        statuses = [201, 200, 304, 204, 204, 400, 415, 404, 405, 422, 404, 200, 200, 200]
        assert [answer.status_code for answer in answers] == statuses
        for answer in answers:
            assert_headers(answer)


class TestHead:
    """HEAD responds like GET, without the body."""

    async def targets(self, app: FastAPI, client: httpx.AsyncClient) -> list[str]:
        """Every path that accepts GET, with a resource and without."""
        ids: dict[str, str] = {}
        for entry in CATALOG:
            parents = {name: ids[parent.id_name] for name, parent in entry.parents().items()}
            rows = [await entry.create(client, **parents) for _ in range(2)]
            ids[entry.id_name] = rows[0]["id"]
        account, link = f"/accounts/{ids['account_id']}", {"item_id": ids["item_id"]}
        wish = f"wishes/{ids['item_id']}"
        for name, body in (("favorite", link), ("reservation", link), (wish, {})):
            assert (await client.put(f"{account}/{name}", json=body)).status_code == 201
        page = (await client.get("/docs")).text
        fingerprint = page.partition("docs/assets/")[2].partition("/")[0]
        asset = {"fingerprint": fingerprint, "name": "favicon.svg", "slug": "internal"}
        found = {**ids, **asset}
        malformed = {**dict.fromkeys(ids, "nothing"), "account_id": UNKNOWN}
        missing = {**malformed, **asset, "slug": "nothing"}
        templates = [
            context.path_format or ""
            for context in iter_route_contexts(app.routes)
            if "GET" in (context.methods or ())
            and context.path_format != "/metrics"  # its response changes with each request
        ]
        assert len(templates) > 12
        targets = {template.format(**ids) for template in templates for ids in (found, missing)}
        queries = ["/accounts?limit=1", "/accounts?x=1", f"{account}/items?limit=1", "/nowhere"]
        return sorted([*targets, *queries])

    @pytest.mark.parametrize("root_path", ["", "/shop"])
    async def test_mirrors_get(
        self, app: FastAPI, client: httpx.AsyncClient, root_path: str
    ) -> None:
        targets = await self.targets(app, client)
        transport = httpx.ASGITransport(app, root_path=root_path)
        statuses = set()
        async with httpx.AsyncClient(
            transport=transport,
            base_url=f"http://satchel.test{root_path}",
            headers={"X-Request-ID": "same", "Accept-Encoding": "identity"},
        ) as there:
            for target in targets:
                get, head = await there.get(target), await there.head(target)
                assert head.status_code == get.status_code, target
                assert head.headers == get.headers, target
                if target.endswith(":export"):  # how long a stream is shows at its end
                    assert "content-length" not in head.headers
                else:
                    assert int(head.headers["content-length"]) == len(get.content) > 0
                assert head.content == b""
                statuses.add(get.status_code)
        assert statuses == {200, 404, 422}

    async def test_sends_no_body_to_the_server(self, app: FastAPI) -> None:
        for path in ("/livez", "/nowhere"):
            sent: list[Message] = []
            await app(scope(method="HEAD", path=path), refuse_to_read, collect(sent))
            start, *rest = sent
            assert int(dict(start["headers"])[b"content-length"]) > 0
            assert b"".join(message["body"] for message in rest) == b""

    async def test_supports_conditions(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        headers = {"If-None-Match": '"1"'}
        answer = await client.head(f"/accounts/{account['id']}", headers=headers)
        assert (answer.status_code, answer.headers["etag"]) == (304, '"1"')


class TestSize:
    """Bodies are accepted up to the limit, with Content-Length and without."""

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        for _ in range(0, size, 65_536):
            yield b" " * 65_536

    async def test_declared(self, client: httpx.AsyncClient) -> None:
        headers = {"Content-Type": JSON}
        answer = await client.post("/accounts", content=b" " * LIMIT, headers=headers)
        assert_problem(answer, 400, "malformed_body", {})
        answer = await client.post("/accounts", content=b" " * (LIMIT + 1), headers=headers)
        assert_problem(answer, 413, "body_too_large", {})

    async def test_not_declared(self, client: httpx.AsyncClient) -> None:
        headers = {"Content-Type": JSON}
        answer = await client.post("/accounts", content=self.chunks(LIMIT), headers=headers)
        assert_problem(answer, 400, "malformed_body", {})
        answer = await client.post("/accounts", content=self.chunks(LIMIT + 1), headers=headers)
        assert_problem(answer, 413, "body_too_large", {})

    async def test_a_body_that_is_declared_too_large_is_not_read(self, app: FastAPI) -> None:
        sent: list[Message] = []
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1048577")]
        await app(scope(headers=headers), refuse_to_read, collect(sent))
        assert sent[0]["status"] == 413

    async def test_another_limit(self) -> None:
        application = middleware(echo, max_body_size=5)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            assert (await client.post("/", content=b"12345")).content == b"12345"


def middleware(app: ASGIApp, **options: Any) -> RequestMiddleware:
    return RequestMiddleware(
        app, **{"max_body_size": LIMIT, "counters": RequestCounters(), **options}
    )


def scope(**more: Any) -> Scope:
    asked = {"method": "POST", "path": "/accounts", "query_string": b"", "headers": []}
    return {"type": "http", "http_version": "1.1", "root_path": "", **asked, **more}


def collect(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


async def refuse_to_read() -> Message:
    raise AssertionError("the body was read")


async def go_away() -> Message:
    return {"type": "http.disconnect"}


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def lines(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The log lines of requests."""
    seen: list[dict[str, Any]] = []

    def keep(_: Lines, line: str) -> None:
        seen.append(json.loads(line))

    for method in ("info", "warning", "error"):
        monkeypatch.setattr(Lines, method, keep)
    logger = logging.getLogger("satchel.request")
    logger.setLevel("INFO")
    yield seen
    logger.setLevel(logging.NOTSET)


class TestLog:
    async def test_a_request_has_one_line_without_its_data(
        self, client: httpx.AsyncClient, lines: list[dict[str, Any]]
    ) -> None:
        answer = await client.get(f"/accounts/{UNKNOWN}?x=secret", headers={"X-Request-ID": "r"})
        assert answer.status_code == 422
        (line,) = lines
        assert line["event"] == "request"
        assert line["ms"] > 0
        fields = {name: line[name] for name in ("method", "route", "status", "request_id")}
        assert fields == {"method": "GET", "route": "/accounts/{account_id}", "status": 422,
                        "request_id": "r"}  # fmt: skip
        assert UNKNOWN not in str(line)
        assert "secret" not in str(line)

    async def test_a_batch_has_one_line(
        self, client: httpx.AsyncClient, lines: list[dict[str, Any]]
    ) -> None:
        sent = {"data": [account_body() for _ in range(9)]}
        assert (await client.post("/accounts:batchCreate", json=sent)).status_code == 201
        (line,) = lines
        fields = {name: line[name] for name in ("method", "route", "status")}
        assert fields == {"method": "POST", "route": "/accounts:batchCreate", "status": 201}

    async def test_an_unknown_path_has_no_route(
        self, client: httpx.AsyncClient, lines: list[dict[str, Any]]
    ) -> None:
        await client.head("/nowhere/secret")
        (line,) = lines
        assert (line["method"], line["route"], line["status"]) == ("HEAD", None, 404)
        assert "secret" not in str(line)

    async def test_a_client_that_disconnects_is_not_an_error(
        self, app: FastAPI, lines: list[dict[str, Any]]
    ) -> None:
        sent: list[Message] = []
        await app(scope(headers=[(b"content-type", b"application/json")]), go_away, collect(sent))
        assert sent == []
        assert [line["event"] for line in lines] == ["client went away", "request"]
        assert "error" not in {line.get("level") for line in lines}

    async def test_the_lines_of_a_disconnected_client_have_its_route(
        self, app: FastAPI, lines: list[dict[str, Any]]
    ) -> None:
        headers = [(b"content-type", b"application/json"), (b"x-request-id", b"r")]
        path = f"/accounts/{UNKNOWN}"
        await app(scope(method="PUT", path=path, headers=headers), go_away, collect([]))
        away, request = lines
        assert (away["route"], away["request_id"]) == ("/accounts/{account_id}", "r")
        assert (request["route"], request["status"]) == ("/accounts/{account_id}", 0)
        assert UNKNOWN not in str(lines)

    async def test_principal_problem_and_trace_are_logged_if_known(
        self, lines: list[dict[str, Any]]
    ) -> None:
        async def guard(scope: Scope) -> None:
            scope["state"]["principal"] = "reporting"
            if scope["path"] == "/shut":
                raise NotFound

        application = middleware(echo, guards=[guard])
        transport = httpx.ASGITransport(application)
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            await client.get("/shut", headers=headers)
            await client.get("/open", headers={"traceparent": "secret"})
        shut, opened = lines
        assert shut["principal"] == opened["principal"] == "reporting"
        assert (shut["problem"], shut["trace_id"]) == ("not_found", trace)
        assert not {"problem", "trace_id"} & set(opened)
        assert "secret" not in str(lines)


class TestGuards:
    async def test_decide_before_the_body_is_read(self, lines: list[dict[str, Any]]) -> None:
        async def guard(scope: Scope) -> None:
            if scope["path"] != "/open":
                raise NotFound

        application = middleware(echo, guards=[guard])
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            assert (await client.post("/open", content=b"body")).content == b"body"
            answer = await client.post("/shut", content=b"body", headers={"X-Request-ID": "r"})
        assert_problem(answer, 404, "not_found")
        assert_headers(answer)
        assert (lines[-1]["status"], lines[-1]["request_id"]) == (404, "r")


class TestFailures:
    async def test_before_the_response_begins_are_a_problem(
        self, lines: list[dict[str, Any]]
    ) -> None:
        async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise RuntimeError("secret")

        transport = httpx.ASGITransport(middleware(fail))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            answer = await client.get("/", headers={"X-Request-ID": "r"})
        assert_problem(answer, 500, "internal", {})
        assert "secret" not in answer.text
        failed, request = lines
        assert failed["event"] == "request failed"
        assert failed["exception"]
        assert failed["request_id"] == "r"
        assert (request["status"], request["request_id"]) == (500, "r")

    async def test_after_the_response_has_begun_break_the_connection(
        self, lines: list[dict[str, Any]]
    ) -> None:
        async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("too late")

        sent: list[Message] = []
        failing = middleware(fail)
        with pytest.raises(RuntimeError, match="too late"):
            await failing(scope(), refuse_to_read, collect(sent))
        assert [message["type"] for message in sent] == ["http.response.start"]
        assert [line["event"] for line in lines] == ["request failed", "request"]

    async def test_of_disconnected_clients_get_no_response(self) -> None:
        async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise ClientDisconnect

        sent: list[Message] = []
        failing = middleware(fail)
        await failing(scope(), refuse_to_read, collect(sent))
        assert sent == []


async def test_a_request_is_in_flight_while_it_waits_for_its_client_to_leave() -> None:
    counters = RequestCounters()
    seen: list[tuple[str, float]] = []
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"x"}]

    async def receive() -> Message:
        seen.append(("waits", counters.in_flight))
        return messages.pop()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        first = await receive()
        seen.append((first["type"], counters.in_flight))
        last = await receive()
        seen.append((last["type"], counters.in_flight))

    await middleware(app, counters=counters)(scope(), receive, collect([]))
    # It is not in flight while it waits for its body.
    assert seen == [("waits", 0), ("http.request", 1), ("waits", 1), ("http.disconnect", 1)]


async def test_other_scopes_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await middleware(app, max_body_size=1)({"type": "lifespan"}, refuse_to_read, collect([]))
    assert seen == ["lifespan"]


async def test_the_limit_is_a_setting() -> None:
    small = create_app(make_settings(max_body_size=1024))
    async with client_of(small) as client:
        headers = {"Content-Type": JSON}
        answer = await client.post("/accounts", content=b" " * 1025, headers=headers)
        assert_problem(answer, 413, "body_too_large", {})
        answer = await client.post("/accounts", content=b" " * 1024, headers=headers)
        assert_problem(answer, 400, "malformed_body", {})


class TestCancelled:
    """By the server, when it shuts down."""

    @pytest.mark.parametrize("begun", [True, False])
    async def test_a_request_gets_503_unless_its_response_has_begun(self, *, begun: bool) -> None:
        sent: list[Message] = []
        waits = asyncio.Event()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if begun:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            waits.set()
            await asyncio.Event().wait()

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/accounts", "headers": []}
        task = asyncio.create_task(middleware(application)(scope, receive, send))
        await waits.wait()
        task.cancel()
        if begun:
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(sent) == 1
        else:
            await task
            assert sent[0]["status"] == 503
            assert json.loads(sent[1]["body"])["code"] == "database_unavailable"
            assert b"retry-after" in dict(sent[0]["headers"])
