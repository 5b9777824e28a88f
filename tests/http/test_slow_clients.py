"""A client has so many seconds for each part of a request; whoever needs longer is cut off, and
nothing of it is left.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.http.middleware import RequestMiddleware
from app.http.protocol import Limits, ServerConfig
from tests.conftest import Server, server_environment
from tests.http.answers import PROBLEM_FIELDS, Connection, head

pytestmark = pytest.mark.slow

LARGE = 8 * 1024 * 1024
POST = head("POST", "/body", [("Content-Length", "4")])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body of the request, or with much, late, or before the body has come."""
    body, more, path = b"", True, scope["path"]
    if path == "/late":
        await asyncio.sleep(0.6)
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


class Served:
    """A server in this process, and connections to it."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.state = server.server_state
        self.port = port

    async def connect(self, *, limit: int = 65_536) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        return Client(reader, writer)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes, *, every: float = 0) -> None:
        """Send at once, or byte by byte until the server has enough."""
        pieces = [bytes([byte]) for byte in data] if every else [data]
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                await asyncio.sleep(every)

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionError:
            return b"reset"
        finally:
            self.writer.close()

    async def answer(self) -> bytes:
        """The next answer's body."""
        first = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        _, _, length = first.partition(b"content-length: ")
        return await self.reader.readexactly(int(length.split(b"\r\n")[0]))


@contextlib.asynccontextmanager
async def served(app: Any = application, **limits: Any) -> AsyncIterator[Served]:
    keep_alive = limits.pop("keep_alive", 5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = ServerConfig(
            app,
            limits=Limits(**{"head": 5, "body": 5, **limits}),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        config.timeout_keep_alive = keep_alive
        server = uvicorn.Server(config)
        # On the loop that servers have, which is not that of the tests.
        task = asyncio.create_task(asyncio.to_thread(server.run, sockets=[listener]))
        try:
            await until(lambda: server.started)
            yield Served(server, listener.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 5)


async def until(met: Callable[[], bool]) -> None:
    for _ in range(300):
        if met():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never comes")


async def assert_nothing_left(here: Served) -> None:
    await until(lambda: not here.state.connections and not here.state.tasks)


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
    async def test_that_comes_byte_by_byte_is_cut_off_while_others_are_served(self) -> None:
        async with served(head=0.4) as here:
            slow = await here.connect()
            started = time.monotonic()
            sending = asyncio.create_task(slow.send(head("GET", "/") * 5, every=0.05))
            other = await here.connect()
            await other.send(POST + b"body")
            assert await other.answer() == b"body"
            problem_in(await slow.rest(), 408, "request_timeout")
            assert 0.3 < time.monotonic() - started < 1.5
            await other.send(POST + b"more")
            assert await other.answer() == b"more"
            other.writer.close()
            sending.cancel()
            await assert_nothing_left(here)

    async def test_of_which_nothing_comes_ends_without_a_word(self) -> None:
        async with served(head=0.2) as here:
            silent = await here.connect()
            assert await silent.rest() == b""
            blank = await here.connect()
            await blank.send(b"\r\n" * 10, every=0.05)
            assert await blank.rest() in (b"", b"reset")
            await assert_nothing_left(here)

    async def test_of_a_later_request_has_the_same_time(self) -> None:
        async with served(head=0.3, keep_alive=1) as here:
            client = await here.connect()
            await client.send(POST + b"body" + POST[:9])
            assert await client.answer() == b"body"
            started = time.monotonic()
            problem_in(await client.rest(), 408, "request_timeout")
            assert time.monotonic() - started < 0.9

    async def test_behind_a_request_under_way_lets_that_be_answered(self) -> None:
        async with served(head=0.2) as here:
            client = await here.connect()
            await client.send(head("GET", "/late") + POST[:9])
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1") == 1
            await assert_nothing_left(here)


class TestBody:
    async def test_that_comes_slowly_is_told_so(self) -> None:
        async with served(RequestMiddleware(application, 1000), body=0.3) as here:
            client = await here.connect()
            long = head("POST", "/x?y", [("Content-Length", "99"), ("X-Request-ID", "mine")])
            await client.send(long)
            sending = asyncio.create_task(client.send(b"x" * 99, every=0.05))
            problem = problem_in(await client.rest(), 408, "request_timeout")
            assert (problem["instance"], problem["request_id"]) == ("/x", "mine")
            sending.cancel()
            await assert_nothing_left(here)

    async def test_that_comes_in_time_is_read(self) -> None:
        async with served(body=0.5) as here:
            client = await here.connect()
            await client.send(POST)
            await client.send(b"body", every=0.05)
            assert await client.answer() == b"body"
            await asyncio.sleep(0.5)
            await client.send(POST + b"body")  # the time is each one's own
            assert await client.answer() == b"body"
            client.writer.close()

    async def test_of_a_request_that_was_answered_early_has_an_end_too(self) -> None:
        async with served(body=0.3, keep_alive=5) as here:
            client = await here.connect()
            await client.send(head("POST", "/early", [("Content-Length", "99")]))
            assert await client.answer() == b""
            sending = asyncio.create_task(client.send(b"x" * 99, every=0.05))
            assert await client.rest() in (b"", b"reset")
            sending.cancel()
            await assert_nothing_left(here)

    async def test_of_a_request_that_was_answered_early_leaves_the_connection_usable(self) -> None:
        async with served(body=5, keep_alive=0.3) as here:
            client = await here.connect()
            await client.send(head("POST", "/early", [("Content-Length", "10")]))
            assert await client.answer() == b""
            await client.send(b"x" * 10, every=0.05)  # longer than an idle connection lasts
            await client.send(POST + b"body")
            assert await client.answer() == b"body"
            await client.send(head("POST", "/early", [("Content-Length", "10")]))
            assert await client.answer() == b""
            await client.send(b"x" * 10, every=0.05)
            assert await client.rest() == b""  # idle, it ends
            await assert_nothing_left(here)

    async def test_that_waits_for_an_earlier_request_is_not_late(self) -> None:
        async with served(body=0.25) as here:
            client = await here.connect()
            await client.send(head("GET", "/late") + POST)
            await asyncio.sleep(0.4)
            await client.send(b"body")
            assert await client.answer() == b""
            assert await client.answer() == b"body"
            client.writer.close()


class TestAnswer:
    async def test_that_is_not_taken_is_given_up(self) -> None:
        async with served(body=0.3) as here:
            client = await here.connect(limit=1)
            await client.send(head("GET", "/much") * 2)  # the second waits for room
            started = time.monotonic()
            await assert_nothing_left(here)
            assert time.monotonic() - started < 1.5
            client.writer.transport.abort()

    async def test_that_is_smaller_than_the_buffers_is_given_up_too(self) -> None:
        async with served(body=0.3, keep_alive=0.1) as here:
            client = await here.connect(limit=1)
            await client.send(head("GET", "/much"))
            await assert_nothing_left(here)
            client.writer.transport.abort()

    async def test_that_is_taken_in_time_comes_whole(self) -> None:
        async with served(body=3) as here:
            client = await here.connect()
            await client.send(head("GET", "/much") * 2)
            assert len(await client.answer()) == LARGE
            assert len(await client.answer()) == LARGE
            client.writer.close()


class TestConnections:
    async def test_that_are_idle_end(self) -> None:
        async with served(keep_alive=0.3) as here:
            client = await here.connect()
            await client.send(POST + b"body")
            assert await client.answer() == b"body"
            await client.send(b"\r\n" * 20, every=0.05)  # which is nothing to wait for
            assert await client.rest() in (b"", b"reset")
            await assert_nothing_left(here)

    async def test_too_many_are_refused_until_one_ends(self) -> None:
        async with served(connections=2) as here:
            clients = [await here.connect() for _ in range(2)]
            for client in clients:
                await client.send(POST)
            await asyncio.sleep(0.05)
            problem_in(await (await here.connect()).rest(), 503, "overloaded")
            for client in clients:
                await client.send(b"body")
                assert await client.answer() == b"body"
            clients[0].writer.close()
            await asyncio.sleep(0.05)
            again = await here.connect()
            await again.send(POST + b"body")
            assert await again.answer() == b"body"
            again.writer.close()
            clients[1].writer.close()

    async def test_an_idle_one_makes_room(self) -> None:
        async with served(connections=1) as here:
            idle = await here.connect()
            await idle.send(POST + b"body")
            assert await idle.answer() == b"body"
            other = await here.connect()
            await other.send(POST + b"body")
            assert await other.answer() == b"body"
            assert await idle.rest() == b""
            other.writer.close()


class TestWhatIsNoRequest:
    @pytest.mark.parametrize(
        ("sent", "status", "code"),
        [
            (b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unknown_method"),
            (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unknown_method"),
            (b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 400, "malformed_request"),
            (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
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
            await assert_nothing_left(here)

    async def test_behind_a_request_lets_that_be_answered(self) -> None:
        async with served() as here:
            client = await here.connect()
            await client.send(head("GET", "/late") + b"BREW /pot HTTP/1.1\r\n\r\n")
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1") == 1

    async def test_in_the_body_of_a_request_that_waits_ends_all(self) -> None:
        async with served() as here:
            client = await here.connect()
            chunked = head("POST", "/body", [("Transfer-Encoding", "chunked")])
            await client.send(head("GET", "/late") + chunked + b"zz\r\n")
            assert await client.rest() in (b"", b"reset")
            await assert_nothing_left(here)


def test_the_limits_are_the_operators(database: Any, start_server: Callable[..., Server]) -> None:
    times = {"HEAD_TIMEOUT": "0.5", "BODY_TIMEOUT": "0.5", "KEEP_ALIVE_TIMEOUT": "1"}
    server = start_server({**server_environment(database), **times, "MAX_CONNECTIONS": "2"})
    for cut in (9, -1):
        with Connection(server.port) as connection:
            connection.send(head("POST", "/accounts", [("Content-Length", "9")])[:cut] + b"\n")
            assert connection.receive().json()["code"] in ("request_timeout", "malformed_request")
    with Connection(server.port) as connection:
        connection.send(head("GET", "/livez"))
        assert connection.receive().status_code == 200
        started = time.monotonic()
        assert connection.ended()
        assert 0.5 < time.monotonic() - started < 2
