"""Fields after a chunked body (trailers) are ignored, and a connection has few of them."""

import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.edge.reader import MAX_TRAILERS_SIZE
from tests.api.conftest import Running
from tests.connections import Connection, head
from tests.edge.test_protocol import answer_path, serving
from tests.factories import account_body
from tests.responses import assert_problem
from tests.waiting import until

pytestmark = pytest.mark.slow

CHUNKED = ("Transfer-Encoding", "chunked")
LIVEZ = head("GET", "/livez")
FIELDS = ["Authorization", "X-Forwarded-For", "Content-Type", "Idempotency-Key", "X-Request-ID",
          "Connection", "Upgrade", "Expect", "Host", "Accept"]  # fmt: skip


def post(*trailers: bytes) -> bytes:
    body = json.dumps(account_body()).encode()
    request = head("POST", "/accounts", [("Content-Type", "application/json"), CHUNKED])
    fields = b"".join(b"%s\r\n" % trailer for trailer in trailers)
    return request + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, fields)


class TestTrailers:
    async def test_are_no_headers(self) -> None:
        seen: dict[str, Any] = {}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["more_body"]:
                pass
            seen.update(scope)
            await answer_path(scope, receive, send)

        protocol, transport = serving(app)
        protocol.data_received(post(*(b"%s: close" % name.encode() for name in FIELDS)))
        await until(lambda: b"/accounts" in transport.written)
        assert [name for name, _ in seen["headers"]] == [
            b"host", b"content-type", b"transfer-encoding",
        ]  # fmt: skip
        assert not transport.closed

    @pytest.mark.parametrize("name", FIELDS)
    def test_change_nothing(self, running: Running, name: str) -> None:
        with Connection(running.port) as connection:
            for _ in range(2):
                connection.send(post(b"%s: close" % name.encode()) + LIVEZ)
                answer = connection.receive()
                assert answer.status_code == 201, answer.text
                assert answer.headers["x-request-id"] != "close"
                assert connection.receive().json() == {"status": "pass"}

    def test_cut_anywhere_change_nothing(self, running: Running) -> None:
        with Connection(running.port) as connection:
            tail = len(b"0\r\nConnection: close\r\nA: b\r\n\r\n") + len(LIVEZ)
            for cut in range(1, tail, 3):
                request = post(b"Connection: close", b"A: b") + LIVEZ
                connection.send_apart(request[:-cut], request[-cut:])
                assert connection.receive().status_code == 201
                assert connection.receive().json() == {"status": "pass"}

    def test_up_to_the_limit_are_read(self, running: Running) -> None:
        with Connection(running.port) as connection:
            connection.send(post(b"A: " + b"x" * (MAX_TRAILERS_SIZE - 10)))
            assert connection.receive().status_code == 201


# What comes without end after the first bytes.
ENDLESS = {
    "fields": (b"", b"A: b\r\n"),
    "a name": (b"", b"a"),
    "a value": (b"A: ", b"b"),
    "blanks": (b"A:", b" "),
    "fields without a value": (b"", b"A:\r\n"),
}


@pytest.mark.parametrize("piece", [100, 4000, 200_000])
@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS.keys())
async def test_trailers_above_the_limit_end_the_connection(
    begin: bytes, more: bytes, piece: int
) -> None:
    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    protocol, transport = serving(app)
    data = head("POST", "/", [CHUNKED]) + b"1\r\nx\r\n0\r\n" + begin
    head_size = len(data)
    data += more * (200_000 // len(more))
    sent = 0
    while not transport.closed:
        assert sent - head_size < MAX_TRAILERS_SIZE + 1_024 + piece
        protocol.data_received(data[sent : sent + piece])
        sent += piece
    assert transport.written.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"head_too_large"' in transport.written
    protocol.connection_lost(None)


def test_a_client_that_sends_too_many_trailers_is_told(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(head("POST", "/accounts", [("Content-Type", "application/json"), CHUNKED]))
        connection.send(b"1\r\nx\r\n0\r\nA: " + b"x" * 3 * MAX_TRAILERS_SIZE)
        assert_problem(connection.receive(), 431, "head_too_large", {})
        assert connection.ended()
