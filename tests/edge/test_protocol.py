"""The protocol ignores offered upgrades and reads the body, however the request is split."""

import asyncio
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from app.edge.protocol import EdgeProtocol, ServerConfig
from app.edge.reader import MAX_HEAD_SIZE, MAX_WAITING
from tests.api.conftest import Running
from tests.applications import make_settings
from tests.connections import Connection, head
from tests.edge.timers import ManualTimers
from tests.factories import account_body
from tests.programs import find_program
from tests.responses import assert_problem
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

# What Java's HttpClient sends.
OFFER = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
]
LIVEZ = head("GET", "/livez")
# Its body ends with the beginning of a line.
POST_OF_LINES = (
    head("POST", "/", [("Content-Length", "50000")]) + (b"x\r\n" * 20_000)[-49_999:] + b"x"
)


class Post:
    """A request that creates an account."""

    def __init__(
        self,
        *more: tuple[str, str],
        offer: Iterable[tuple[str, str]] = OFFER,
        chunked: bool = False,
    ) -> None:
        account = account_body()
        self.email = account["email"]
        self.body = json.dumps(account).encode()
        framing = ("Content-Length", str(len(self.body)))
        if chunked:
            framing = ("Transfer-Encoding", "chunked")
            half, rest = self.body[:20], self.body[20:]
            self.body = b"14\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (half, len(rest), rest)
        headers = [("Content-Type", "application/json"), *offer, *more, framing]
        self.head = head("POST", "/accounts", headers)

    def assert_answered(self, connection: Connection) -> None:
        answer = connection.receive()
        assert answer.status_code == 201, answer.text
        assert answer.json()["email"] == self.email


class Written(asyncio.Transport):
    """A transport that records what is written."""

    written = b""
    closed = aborted = False
    reading = True
    unread = 0

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def answer_path(scope: Scope, _: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def serving(
    app: ASGIApp, timers: ManualTimers | None = None, **settings: Any
) -> tuple[EdgeProtocol, Written]:
    """A connection in this process that receives the pieces of data that the test passes to it."""
    config = ServerConfig(app, make_settings(**settings), log_config=None, lifespan="off")
    loop = cast(asyncio.AbstractEventLoop | None, timers)
    protocol, transport = EdgeProtocol(config, ServerState(), {}, loop), Written()
    protocol.connection_made(transport)
    return protocol, transport


@pytest.fixture
def connection(running: Running) -> Iterator[Connection]:
    size = running.log_size()
    with Connection(running.port) as connection:
        yield connection
    assert running.logged(since=size) == ""


def assert_usable(connection: Connection) -> None:
    connection.send(LIVEZ)
    assert connection.receive().json() == {"status": "pass"}


class TestPipelining:
    """A client sends requests without waiting for responses."""

    async def test_reading_pauses_while_requests_wait_for_earlier_ones(self) -> None:
        served: list[bool] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            served.append(transport.reading)
            await answer_path(scope, receive, send)

        protocol, transport = serving(app)
        protocol.data_received(LIVEZ * 5)
        assert not transport.reading
        await until(lambda: len(served) == 5, "a request is not served")
        # No request waits behind the last one.
        assert served == [False] * 4 + [True]
        protocol.data_received(LIVEZ)
        await until(lambda: transport.written.count(b"/livez") == 6, "reading does not resume")
        assert transport.reading

    async def test_a_hundred_requests_wait_at_most(self) -> None:
        waiting: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            waiting.append(len(protocol.pipeline))
            await answer_path(scope, receive, send)

        protocol, transport = serving(app)
        tiny = b"GET /a HTTP/1.1\r\nHost:x\r\n\r\n"
        protocol.data_received(tiny * 1000 + LIVEZ[:9])
        assert (len(protocol.pipeline), transport.reading) == (MAX_WAITING, False)
        protocol.data_received(LIVEZ[9:])  # it was received before reading paused
        assert len(protocol.pipeline) == MAX_WAITING
        await until(lambda: b"\r\n/livez" in transport.written)
        assert transport.written.count(b"\r\n/a") == 1000
        assert (len(waiting), max(waiting)) == (1001, MAX_WAITING)
        assert transport.reading

    async def test_a_broken_request_behind_hundreds_is_refused_last(self) -> None:
        protocol, transport = serving(answer_path)
        protocol.data_received(LIVEZ * 250 + b"BREW / HTTP/1.1\r\n\r\n")
        await until(transport.is_closing)
        assert transport.written.count(b"/livez") == 250
        assert transport.written.rpartition(b"HTTP/1.1 ")[2].startswith(b"501 ")

    async def test_reading_resumes_for_the_body_of_a_waiting_request(self) -> None:
        bodies: list[bytes] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            more = True
            while more:
                message = await receive()
                bodies.append(message["body"])
                more = message["more_body"]
            await answer_path(scope, receive, send)

        protocol, transport = serving(app)
        post = head("POST", "/body", [("Content-Length", "4")])
        protocol.data_received(LIVEZ + post + b"ab")
        assert not transport.reading
        await until(lambda: bodies == [b"", b"ab"], "the first half does not arrive")
        assert transport.reading
        protocol.data_received(b"cd")
        await until(lambda: b"/body" in transport.written, "there is no response")
        assert b"".join(bodies) == b"abcd"


class TestOfferedUpgrade:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_all_in_one_piece(self, connection: Connection, chunked: bool) -> None:
        post = Post(chunked=chunked)
        connection.send(post.head + post.body)
        post.assert_answered(connection)
        assert_usable(connection)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_body_in_later_pieces(self, connection: Connection, chunked: bool) -> None:
        post = Post(chunked=chunked)
        connection.send_apart(post.head, post.body[:9], post.body[9:30], post.body[30:])
        post.assert_answered(connection)
        assert_usable(connection)

    def test_head_in_two_pieces_cut_anywhere(self, connection: Connection) -> None:
        for cut in range(1, len(Post().head), 5):
            post = Post()
            connection.send_apart(post.head[:cut], post.head[cut:] + post.body)
            post.assert_answered(connection)
        assert_usable(connection)

    def test_byte_by_byte(self, connection: Connection) -> None:
        post = Post()
        connection.send_apart(*(bytes([byte]) for byte in post.head + post.body))
        post.assert_answered(connection)
        assert_usable(connection)

    def test_between_other_requests_in_one_piece(self, connection: Connection) -> None:
        first, second, third = Post(offer=()), Post(), Post(chunked=True)
        posts = b"".join(post.head + post.body for post in (first, second, third))
        connection.send(LIVEZ + posts + LIVEZ)
        assert connection.receive().json() == {"status": "pass"}
        for post in (first, second, third):
            post.assert_answered(connection)
        assert connection.receive().json() == {"status": "pass"}
        assert_usable(connection)

    def test_after_another_request_with_the_body_in_a_later_piece(
        self, connection: Connection
    ) -> None:
        post = Post()
        connection.send_apart(LIVEZ + post.head, post.body + LIVEZ)
        assert connection.receive().json() == {"status": "pass"}
        post.assert_answered(connection)
        assert connection.receive().json() == {"status": "pass"}

    def test_hundreds_in_one_piece(self, connection: Connection) -> None:
        connection.send(head("GET", "/livez", OFFER) * 1500)
        for _ in range(1500):
            assert connection.receive().json() == {"status": "pass"}
        assert_usable(connection)

    def test_client_waits_for_100_continue(self, connection: Connection) -> None:
        post = Post(("Expect", "100-continue"))
        connection.send(post.head)
        assert connection.receive_interim() == 100
        connection.send(post.body)
        post.assert_answered(connection)
        assert_usable(connection)

    @pytest.mark.parametrize("offered", ["websocket", "h2c, websocket", "TLS/1.3"])
    def test_any_protocol(self, connection: Connection, offered: str) -> None:
        post = Post(offer=[("upgrade", offered), ("connection", "keep-alive, upgrade")])
        connection.send(post.head + post.body)
        post.assert_answered(connection)
        assert_usable(connection)

    def test_connection_close_is_honoured(self, connection: Connection) -> None:
        post = Post(offer=[("Connection", "close, Upgrade"), *OFFER[1:]])
        connection.send(post.head + post.body + LIVEZ)
        post.assert_answered(connection)
        assert connection.ended()

    def test_http_1_0_is_answered_and_closed(self, connection: Connection) -> None:
        post = Post()
        connection.send(post.head.replace(b"HTTP/1.1", b"HTTP/1.0") + post.body)
        post.assert_answered(connection)
        assert connection.ended()

    def test_http_1_0_is_answered_without_an_interim_response(self, connection: Connection) -> None:
        post = Post(("Expect", "100-continue"), offer=())
        connection.send_apart(post.head.replace(b"HTTP/1.1", b"HTTP/1.0"), post.body)
        post.assert_answered(connection)

    def test_head_request(self, connection: Connection) -> None:
        connection.send(head("HEAD", "/livez", OFFER))
        answer = connection.receive("HEAD")
        assert (answer.status_code, answer.headers["content-length"]) == (200, "17")
        assert_usable(connection)


class TestHeadSize:
    def test_endless_headers_are_refused(self, running: Running) -> None:
        with Connection(running.port) as connection:
            connection.send_apart(head("GET", "/livez")[:-2] + b"X: ")
            connection.send(b"x" * (MAX_HEAD_SIZE + 1))
            assert_problem(connection.receive(), 431, "head_too_large", {})
            assert connection.ended()

    def test_an_endless_target_is_refused(self, running: Running) -> None:
        with Connection(running.port) as connection:
            connection.send_apart(b"GET /livez?")
            connection.send(b"x" * (MAX_HEAD_SIZE + 1))
            assert_problem(connection.receive(), 414, "target_too_long", {})
            assert connection.ended()

    @pytest.mark.parametrize(
        ("target", "value", "status", "code"),
        [
            ("/" + "x" * MAX_HEAD_SIZE, "", 414, "target_too_long"),
            ("/", "x" * MAX_HEAD_SIZE, 431, "head_too_large"),
        ],
    )
    async def test_a_large_head_in_one_piece_is_refused(
        self, target: str, value: str, status: int, code: str
    ) -> None:
        protocol, transport = serving(answer_path)
        protocol.data_received(head("GET", target, [("X", value)]))
        assert transport.written.startswith(b"HTTP/1.1 %d " % status)
        assert f'"code":"{code}"'.encode() in transport.written
        assert transport.closed

    def test_a_head_below_the_limit_is_read(self, connection: Connection) -> None:
        value = "x" * (MAX_HEAD_SIZE * 3 // 4)
        request = head("GET", "/livez", [("X", value)])
        connection.send_apart(request[:9], request[9:])
        assert connection.receive().status_code == 200
        assert_usable(connection)

    @pytest.mark.parametrize("piece", [1_000, 30_000, 1_000_000])
    @pytest.mark.parametrize("more", [0, 1])
    @pytest.mark.parametrize("line", [b"A:\r\n", b"A: bcdefghi\r\n", b"A:" + b" " * 997 + b"\r\n"])
    @pytest.mark.parametrize("before", [b"", POST_OF_LINES])
    async def test_each_byte_of_a_head_counts(
        self, before: bytes, line: bytes, more: int, piece: int
    ) -> None:
        first, rest = LIVEZ[:-2], MAX_HEAD_SIZE - len(LIVEZ) + more
        padding = b"B:%s\r\n" % (b"c" * (rest % len(line) + len(line) - 4))
        data = first + line * (rest // len(line) - 1) + padding + b"\r\n"
        assert len(data) == MAX_HEAD_SIZE + more
        protocol, transport = serving(answer_path)
        data = before + data
        for start in range(0, len(data), piece):
            protocol.data_received(data[start : start + piece])
            await until(lambda: transport.reading or transport.closed)
        status = b"HTTP/1.1 431 " if more else b"\r\n/livez"
        await until(lambda: status in transport.written)
        assert transport.closed == bool(more)

    async def test_the_body_before_a_head_does_not_count(self) -> None:
        """Even if it arrives in the same piece as the beginning of the head."""
        body = b" " * (MAX_HEAD_SIZE * 2)
        first = head("POST", "/first", [("Content-Length", str(len(body)))]) + body
        second = head("GET", "/second")
        protocol, transport = serving(answer_path)
        for piece in (first + second[:5], second[5:9], second[9:]):
            protocol.data_received(piece)
        await until(lambda: b"/second" in transport.written)
        assert b"/first" in transport.written


@pytest.mark.parametrize("unread", [0, 1])
@pytest.mark.parametrize("last", [True, False])
async def test_a_closing_connection_whose_client_does_not_read_is_aborted(
    unread: int, last: bool
) -> None:
    timers = ManualTimers(asyncio.get_running_loop())
    protocol, transport = serving(answer_path, timers, body_timeout=30)
    transport.unread = unread
    protocol.data_received(head("GET", "/", [("Connection", "close")] if last else []))
    await until(lambda: b"\r\n/" in transport.written)
    if not last:
        protocol.timeout_keep_alive_handler()
    timers.forward(29)
    assert (transport.closed, transport.aborted) == (True, False)
    timers.forward(1)
    assert transport.aborted == bool(unread)


def test_the_http_client_of_java_posts_with_its_defaults(running: Running) -> None:
    java = find_program("java", "default-jdk-headless")
    program = Path(__file__).with_name("PostWithDefaults.java")
    posts = [Post(), Post()]
    url = f"http://127.0.0.1:{running.port}/accounts"
    command = [java, str(program), url, *(post.body.decode() for post in posts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    answers = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [status for status, _, _ in answers] == ["201", "201"]
    assert [json.loads(body)["email"] for _, _, body in answers] == [p.email for p in posts]
