"""Slow clients time out in each part of a request, and nothing of them is left. The tests advance
the clock themselves.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import uvicorn
from sqlalchemy import URL
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import Settings
from app.edge.middleware import RequestMiddleware
from app.edge.protocol import EdgeProtocol, ServerConfig
from app.serving import server as serving
from app.telemetry.request_counters import RequestCounters
from tests.applications import make_settings
from tests.connections import Connection, head
from tests.edge.timers import ManualTimers
from tests.responses import PROBLEM_FIELDS
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

TIMEOUTS = ("head_timeout", "body_timeout", "keep_alive_timeout")
LARGE = 8 * 1024 * 1024
POST = head("POST", "/body", [("Content-Length", "4")])


class Application:
    """Echoes the body, or responds with a large body, late, or before the body has arrived."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()  # releases late responses
        self.called = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called += 1
        body, more, path = b"", True, scope["path"]
        if path == "/late":
            await self.gate.wait()
        if path == "/upload":
            scope["state"]["is_upload"] = True
        while more and path != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        if path == "/much":
            body = b"x" * LARGE
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Observed(EdgeProtocol):
    """A protocol that counts received bytes and responses."""

    received = answered = paused = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received += len(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.answered += 1

    def pause_writing(self) -> None:
        super().pause_writing()
        self.paused += 1


class Served:
    """A server in this process, its connections and their timers."""

    def __init__(self, listener: socket.socket, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
        self.application = Application()
        self.wrapped = wrap(self.application)
        self.port: int = listener.getsockname()[1]
        self.protocols: dict[int, Observed] = {}  # by port of the client
        self.timers: ManualTimers | None = None

    def make_protocol(self, **options: Any) -> asyncio.Protocol:
        if self.timers is None:
            self.timers = ManualTimers(asyncio.get_running_loop())
        here = self

        class Known(Observed):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                here.protocols[transport.get_extra_info("peername")[1]] = self

        loop = cast(asyncio.AbstractEventLoop, self.timers)
        return Known(**{**options, "_loop": loop})

    def start(self, limits: dict[str, Any]) -> uvicorn.Server:
        config = ServerConfig(
            self.wrapped,
            make_settings(**{**dict.fromkeys(TIMEOUTS, 60), **limits}),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self.config = config
        config.http = cast(type[asyncio.Protocol], self.make_protocol)
        server = uvicorn.Server(config)
        self.state = server.server_state
        return server

    async def _on_its_loop(self, call: Callable[[], object]) -> None:
        async def called() -> None:
            call()

        assert self.timers is not None
        future = asyncio.run_coroutine_threadsafe(called(), self.timers.loop)
        await asyncio.wrap_future(future)

    async def forward(self, seconds: float) -> None:
        timers = self.timers
        assert timers is not None
        await self._on_its_loop(lambda: timers.forward(seconds))

    async def release_late_responses(self) -> None:
        await self._on_its_loop(self.application.gate.set)

    async def connect(self, *, limit: int = 65_536) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        port = writer.get_extra_info("sockname")[1]
        await until(lambda: port in self.protocols)
        return Client(self, reader, writer, self.protocols[port])

    async def nothing_left(self) -> None:
        """Return once no connection and no task is left."""
        await until(lambda: not self.state.connections and not self.state.tasks)


class Client:
    def __init__(
        self,
        here: Served,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: Observed,
    ) -> None:
        self.here, self.reader, self.writer, self.there = here, reader, writer, there
        self.sent = 0

    @property
    def is_cut_off(self) -> bool:
        return self.there.transport.is_closing()

    @property
    def unread(self) -> int:
        return self.there.transport.get_write_buffer_size()

    def has_paused(self) -> bool:
        return self.there.paused > 0

    async def send(self, data: bytes, *, every: float = 0) -> None:
        """Send at once, or byte by byte, until the server has received all or closes."""
        for piece in [bytes([byte]) for byte in data] if every else [data]:
            if self.is_cut_off:
                return
            self.writer.write(piece)
            self.sent += len(piece)
            await until(lambda: self.there.received >= self.sent or self.is_cut_off)
            await self.here.forward(every)

    async def rest(self) -> bytes:
        """All data until the server closes the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        except ConnectionError:
            return b"reset"
        finally:
            self.writer.close()

    async def two_answers(self) -> tuple[bytes, bytes]:
        """All data until the server closes the connection: two responses."""
        data = await self.rest()
        second = data.rindex(b"HTTP/1.1 ")
        return data[:second], data[second:]

    async def answer(self) -> bytes:
        """The body of the next response."""
        async with asyncio.timeout(PATIENCE):
            first = await self.reader.readuntil(b"\r\n\r\n")
            _, _, length = first.partition(b"content-length: ")
            return await self.reader.readexactly(int(length.split(b"\r\n")[0]))


@contextlib.asynccontextmanager
async def served(
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app, **limits: Any
) -> AsyncIterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = Served(listener, wrap)
        server = here.start(limits)
        # In a thread of its own, as the server makes its own event loop.
        task = asyncio.create_task(asyncio.to_thread(server.run, sockets=[listener]))
        try:
            await until(lambda: server.started)
            yield here
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, PATIENCE)


def with_middleware(app: ASGIApp) -> ASGIApp:
    return RequestMiddleware(app, 1000, RequestCounters())


def problem_in(answer: bytes, status: int, code: str) -> dict[str, Any]:
    first, _, body = answer.partition(b"\r\n\r\n")
    lines = first.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 %d " % status), answer
    assert {b"content-type: application/problem+json", b"connection: close",
            b"x-content-type-options: nosniff"} <= set(lines)  # fmt: skip
    problem: dict[str, Any] = json.loads(body)
    assert list(problem) == PROBLEM_FIELDS
    assert problem["code"] == code
    assert f"x-request-id: {problem['request_id']}".encode() in lines
    return problem


class TestHead:
    async def test_sent_byte_by_byte_times_out_while_others_are_served(self) -> None:
        async with served(head_timeout=10) as here:
            slow, other = await here.connect(), await here.connect()
            await slow.send(head("GET", "/")[:9], every=1)
            await other.send(POST + b"body")
            assert await other.answer() == b"body"
            assert not slow.is_cut_off
            await slow.send(head("GET", "/")[9:], every=1)
            assert slow.sent == 10
            problem_in(await slow.rest(), 408, "request_timeout")
            await other.send(POST + b"more")
            assert await other.answer() == b"more"
            other.writer.close()
            await here.nothing_left()

    async def test_that_never_begins_closes_without_a_response(self) -> None:
        async with served(head_timeout=10) as here:
            silent, blank = await here.connect(), await here.connect()
            await blank.send(b"\r\n" * 4, every=1)
            await here.forward(1)
            assert not silent.is_cut_off
            await blank.send(b"\r\n", every=0.5)
            assert await silent.rest() == b""
            assert await blank.rest() in (b"", b"reset")
            await here.nothing_left()

    async def test_of_a_later_request_has_the_same_timeout(self) -> None:
        async with served(head_timeout=10, keep_alive_timeout=60) as here:
            client = await here.connect()
            await here.forward(9)
            await client.send(POST + b"body" + POST[:9])
            assert await client.answer() == b"body"
            await here.forward(9)
            assert not client.is_cut_off
            await here.forward(1)
            problem_in(await client.rest(), 408, "request_timeout")

    async def test_after_a_request_in_flight_lets_that_finish(self) -> None:
        async with served(head_timeout=10) as here:
            client = await here.connect()
            await client.send(head("GET", "/late") + POST[:9])
            await here.forward(10)
            await here.release_late_responses()
            first, answer = await client.two_answers()
            assert first.startswith(b"HTTP/1.1 200 ")
            problem_in(answer, 408, "request_timeout")
            await here.nothing_left()


class TestBody:
    async def test_that_arrives_slowly_gets_408(self) -> None:
        async with served(with_middleware, body_timeout=30) as here:
            client = await here.connect()
            long = head("POST", "/x?y", [("Content-Length", "99"), ("X-Request-ID", "mine")])
            await client.send(long)
            await client.send(b"x" * 29, every=1)
            assert not client.is_cut_off
            await client.send(b"x" * 70, every=1)
            assert client.sent == len(long) + 30
            problem = problem_in(await client.rest(), 408, "request_timeout")
            assert (problem["instance"], problem["request_id"]) == ("/x", "mine")
            await here.nothing_left()

    async def test_of_an_upload_takes_as_long_as_it_moves(self) -> None:
        async with served(with_middleware, body_timeout=30) as here:
            client = await here.connect()
            await client.send(head("POST", "/upload", [("Content-Length", "99")]))
            await client.send(b"x" * 90, every=1)
            assert not client.is_cut_off
            await here.forward(61)  # the rest of a period in which it moved, and another
            problem_in(await client.rest(), 408, "request_timeout")
            await here.nothing_left()

    async def test_of_an_upload_that_stands_still_gets_408(self) -> None:
        async with served(with_middleware, body_timeout=30) as here:
            client = await here.connect()
            await client.send(head("POST", "/upload", [("Content-Length", "99")]))
            await here.forward(31)
            problem_in(await client.rest(), 408, "request_timeout")
            await here.nothing_left()

    async def test_that_arrives_in_time_is_read(self) -> None:
        async with served(body_timeout=5) as here:
            client = await here.connect()
            for _ in range(2):  # each request has its own timeout
                await client.send(POST)
                await client.send(b"body", every=1)
                assert await client.answer() == b"body"
            client.writer.close()

    async def test_after_an_early_response_times_out_too(self) -> None:
        async with served(body_timeout=5, keep_alive_timeout=60) as here:
            client = await here.connect()
            await client.send(head("POST", "/early", [("Content-Length", "99")]))
            assert await client.answer() == b""
            await client.send(b"x" * 4, every=1)
            assert not client.is_cut_off
            await client.send(b"x" * 95, every=1)
            assert await client.rest() in (b"", b"reset")
            await here.nothing_left()

    async def test_after_an_early_response_leaves_the_connection_usable(self) -> None:
        async with served(body_timeout=60, keep_alive_timeout=5) as here:
            client = await here.connect()
            await client.send(head("POST", "/early", [("Content-Length", "10")]))
            assert await client.answer() == b""
            await client.send(b"x" * 9, every=1)  # longer than the keep-alive timeout
            await client.send(b"x" + POST + b"body")
            assert await client.answer() == b"body"
            await client.send(head("POST", "/early", [("Content-Length", "10")]))
            assert await client.answer() == b""
            await client.send(b"x" * 9, every=1)
            await client.send(b"x")
            await here.forward(4)
            assert not client.is_cut_off
            await here.forward(1)
            assert await client.rest() == b""  # idle, it closes
            await here.nothing_left()

    async def test_behind_an_earlier_request_does_not_time_out(self) -> None:
        async with served(body_timeout=5) as here:
            client = await here.connect()
            await client.send(head("GET", "/late") + POST)
            await here.forward(8)
            client.writer.write(b"body")  # the server does not read it yet
            await here.release_late_responses()
            assert await client.answer() == b""
            assert await client.answer() == b"body"
            client.writer.close()


class TestResponse:
    async def test_that_is_not_read_is_aborted(self) -> None:
        async with served(body_timeout=30) as here:
            client = await here.connect(limit=1)
            await client.send(head("GET", "/much") * 2)  # the second waits for the first
            await until(lambda: client.there.paused)
            await here.forward(29)
            assert here.state.connections
            await here.forward(1)
            await here.nothing_left()
            client.writer.transport.abort()

    async def test_that_fits_into_the_buffers_is_aborted_too(self) -> None:
        async with served(body_timeout=30, keep_alive_timeout=5) as here:
            client = await here.connect(limit=1)
            await client.send(head("GET", "/much"))
            await until(lambda: client.there.answered)
            await here.forward(5)
            assert client.is_cut_off
            await here.forward(30)
            await here.nothing_left()
            client.writer.transport.abort()

    async def test_that_is_read_in_time_is_complete(self) -> None:
        async with served(body_timeout=30) as here:
            client = await here.connect()
            await client.send(head("GET", "/much") * 2)
            for _ in range(2):
                await here.forward(20)
                assert len(await client.answer()) == LARGE
            client.writer.close()


class TestConnections:
    async def test_that_are_idle_close(self) -> None:
        async with served(keep_alive_timeout=5) as here:
            client = await here.connect()
            await here.forward(9)
            await client.send(POST + b"body")
            assert await client.answer() == b"body"
            await client.send(b"\r\n" * 2, every=1)  # blank lines do not begin a request
            assert not client.is_cut_off
            await client.send(b"\r\n", every=0.5)
            assert await client.rest() in (b"", b"reset")
            await here.nothing_left()

    async def test_above_the_limit_are_refused_until_one_closes(self) -> None:
        async with served(max_connections=2) as here:
            clients = [await here.connect() for _ in range(2)]
            for client in clients:
                await client.send(POST)
            problem_in(await (await here.connect()).rest(), 503, "overloaded")
            for client in clients:
                await client.send(b"body")
                assert await client.answer() == b"body"
            clients[0].writer.close()
            await until(lambda: len(here.state.connections) == 1)
            again = await here.connect()
            await again.send(POST + b"body")
            assert await again.answer() == b"body"
            again.writer.close()
            clients[1].writer.close()

    async def test_a_new_one_replaces_an_idle_one(self) -> None:
        async with served(max_connections=1) as here:
            idle = await here.connect()
            await idle.send(POST + b"body")
            assert await idle.answer() == b"body"
            other = await here.connect()
            await other.send(POST + b"body")
            assert await other.answer() == b"body"
            assert await idle.rest() == b""
            other.writer.close()


class TestMalformedRequest:
    @pytest.mark.parametrize(
        ("sent", "status", "code"),
        [
            (b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unknown_method"),
            (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unknown_method"),
            (b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 400, "malformed_request"),
            (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"),
            (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
             "malformed_request"),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400, "malformed_request"),
            (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed_request"),
        ],
    )  # fmt: skip
    async def test_is_refused_with_a_problem(self, sent: bytes, status: int, code: str) -> None:
        async with served() as here:
            client = await here.connect()
            await client.send(sent)
            problem_in(await client.rest(), status, code)
            await here.nothing_left()

    @pytest.mark.parametrize(
        "sent",
        [
            b"BREW /pot HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            head("GET", "http://satchel.test:x/"),
            head("POST", "/body", [("Transfer-Encoding", "chunked")]) + b"zz\r\n",
            head("POST", "/body", [("Transfer-Encoding", "chunked")]) + b"1\r\nxyz\r\n",
        ],
    )
    @pytest.mark.parametrize("requests", [1, 2])
    async def test_after_other_requests_is_answered_after_them(
        self, sent: bytes, requests: int
    ) -> None:
        async with served() as here:
            client = await here.connect()
            await client.send(head("GET", "/late") * requests + sent)
            await client.send(b"this is ignored")
            await here.release_late_responses()
            *owed, last = (await client.rest()).split(b"HTTP/1.1 ")[1:]
            assert [one.partition(b"\r\n")[0] for one in owed] == [b"200 OK"] * requests
            unknown = b"BREW" in sent
            status, code = (501, "unknown_method") if unknown else (400, "malformed_request")
            problem_in(b"HTTP/1.1 " + last, status, code)
            await here.nothing_left()

    async def test_after_the_last_request_of_a_connection_is_ignored(self) -> None:
        async with served() as here:
            client = await here.connect()
            last = head("GET", "/late", [("Connection", "close")])
            await client.send(last + b"BREW /pot HTTP/1.1\r\n\r\n")
            await here.release_late_responses()
            assert (await client.rest()).count(b"HTTP/1.1") == 1
            await here.nothing_left()


LEFT_BEHIND = [POST, POST + head("GET", "/late") * 2, head("GET", "/late") * 2 + POST]


async def test_a_client_that_leaves_behind_pipelined_requests_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for reset in (False, True):
        async with served(with_middleware) as here:
            clients = [await here.connect() for _ in range(3)]
            for client, sent in zip(clients, LEFT_BEHIND, strict=True):
                await client.send(sent)
            for each in clients:
                if reset:
                    each.writer.transport.abort()
                else:
                    each.writer.close()
            await here.release_late_responses()
            await here.nothing_left()
    assert [one for one in caplog.records if one.exc_info or one.levelname == "ERROR"] == []


class TestLimits:
    """They are settings."""

    def test_are_passed_to_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        configs: list[ServerConfig] = []

        class Recorded:
            def __init__(self, config: ServerConfig, *_: object) -> None:
                configs.append(config)

            def run(self, **_: object) -> None:
                """Do not serve."""

        monkeypatch.setattr(serving, "DrainingServer", Recorded)
        settings: Settings = make_settings(
            head_timeout=1.5, body_timeout=2.5, keep_alive_timeout=3, max_connections=4
        )
        with socket.socket() as listener:
            serving._run(settings, {}, listener, reload=False)
        [config] = configs
        assert config.settings is settings
        assert config.timeout_keep_alive == 3

    def test_end_slow_requests(self, database: URL, start_server: Callable[..., Server]) -> None:
        times = dict.fromkeys(("HEAD_TIMEOUT", "BODY_TIMEOUT", "KEEP_ALIVE_TIMEOUT"), "1")
        server = start_server({**server_environment(database), **times})
        request = head("POST", "/accounts", [("Content-Length", "9")])
        for part in (request[:-1], request):
            with Connection(server.port) as connection:
                connection.send(part)
                assert connection.receive().json()["code"] == "request_timeout"
                assert connection.ended()
        with Connection(server.port) as connection:
            connection.send(head("GET", "/livez"))
            assert connection.receive().status_code == 200
            assert connection.ended()


class TestUnreadResponses:
    """What clients do not read is bounded in all connections together."""

    async def test_above_the_limit_abort_the_oldest(self) -> None:
        async with served() as here:
            first, second, third = clients = [await here.connect() for _ in range(3)]
            for client in (first, second):
                await client.send(head("GET", "/much"))
                await until(client.has_paused)
            here.config.unread.limit = first.unread + second.unread
            assert not first.is_cut_off
            await third.send(head("GET", "/much"))
            await until(third.has_paused)
            assert (first.is_cut_off, second.is_cut_off, third.is_cut_off) == (True, False, False)
            assert len(await second.answer()) == LARGE
            for client in clients:
                client.writer.transport.abort()
            await here.nothing_left()

    async def test_let_the_next_request_of_the_connection_wait(self) -> None:
        """Else its response would wait in memory, too."""
        async with served() as here:
            client = await here.connect()
            await client.send(head("GET", "/much"))
            await until(client.has_paused)
            await client.send(POST + b"body" + head("GET", "/early"))
            assert here.application.called == 1
            assert len(await client.answer()) == LARGE
            assert await client.answer() == b"body"
            assert await client.answer() == b""
            client.writer.close()
            await here.nothing_left()

    @pytest.mark.parametrize("broken", [b"BREW / HTTP/1.1\r\n\r\n", b"zz\r\n"])
    async def test_come_before_the_refusal_of_a_later_request(self, broken: bytes) -> None:
        async with served() as here:
            client = await here.connect()
            await client.send(head("GET", "/much"))
            await until(client.has_paused)
            chunked = head("POST", "/body", [("Transfer-Encoding", "chunked")])
            waits = broken == b"zz\r\n"
            await client.send(chunked if waits else POST + b"body")
            await client.send(broken)
            assert len(await client.answer()) == LARGE
            if not waits:
                assert await client.answer() == b"body"
            status, code = (400, "malformed_request") if waits else (501, "unknown_method")
            problem_in(await client.rest(), status, code)
            assert here.application.called == (1 if waits else 2)
            await here.nothing_left()
