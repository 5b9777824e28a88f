"""A response that is whole is written in one piece, and each as uvicorn would write it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.edge.cycle import Cycle

DATE = (b"date", b"Sun, 29 Nov 2026 20:00:00 GMT")
JSON = (b"content-type", b"application/json")
Message = dict[str, Any]


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", str(number).encode()


WHOLE = {
    "with a body": [start(200, JSON, length(2)), piece(b"{}")],
    "without a body": [start(201, length(0)), piece(b"")],
    "its body without `more_body`": [
        start(200, length(2)),
        {"type": "http.response.body", "body": b"{}"},
    ],
}
OTHERS = {
    "without a length": [start(200, JSON), piece(b"{}")],
    "without content": [start(204), piece(b"")],
    "not modified": [start(304, (b"etag", b'"1"')), piece(b"")],
    "in pieces with a length": [
        start(200, length(6)),
        piece(b"abc", more=True),
        piece(b"", more=True),
        piece(b"def"),
    ],
    "in chunks": [start(200), piece(b"abc", more=True), piece(b"def", more=True), piece(b"")],
    "the last of a connection": [start(200, length(1), (b"connection", b"close")), piece(b"x")],
    "with its coding": [start(200, length(1), (b"transfer-encoding", b"chunked")), piece(b"x")],
    "with names in capitals": [start(200, (b"Content-Length", b"1"), JSON), piece(b"x")],
    "with a connection in capitals": [
        start(200, length(1), (b"Connection", b"close")),
        piece(b"x"),
    ],
    "with letters beyond ASCII": [start(200, length(1), (b"x-name", b"\xfc\t\xa0")), piece(b"x")],
    "with an empty value": [start(200, length(1), (b"x-name", b"")), piece(b"x")],
    "with a value of two lines": [start(200, length(1), (b"x-a", b"b\r\nx-c: d")), piece(b"x")],
    "with a line break in a value": [start(200, length(1), (b"x-a", b"b\nc")), piece(b"x")],
    "with NUL in a value": [start(200, length(1), (b"x-a", b"b\0")), piece(b"x")],
    "with a blank in a name": [start(200, length(1), (b"x a", b"b")), piece(b"x")],
    "with a colon in a name": [start(200, length(1), (b"x:a", b"b")), piece(b"x")],
    "shorter than its length": [start(200, length(2)), piece(b"x")],
    "longer than its length": [start(200, length(1)), piece(b"xy")],
    "with two lengths": [start(200, length(1), length(2)), piece(b"x")],
    "with two lengths, the last of them right": [start(200, length(2), length(1)), piece(b"x")],
    "with two headers of a name": [
        start(200, length(1), (b"vary", b"accept"), (b"vary", b"origin")),
        piece(b"x"),
    ],
    "without headers": [{"type": "http.response.start", "status": 200}, piece(b"x")],
    "begun twice": [start(200, length(1)), start(200, length(1))],
    "never begun": [piece(b"x")],
    "more than whole": [start(200, length(1)), piece(b"x"), piece(b"y")],
}


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Sent:
    """What becomes of messages that are sent to a cycle."""

    def __init__(self, kind: type[RequestResponseCycle], **options: Any) -> None:
        self.transport = Written()
        self.ended = 0
        self.errors: list[str] = []
        self.flow = FlowControl(self.transport)
        self.cycle = kind(
            **{
                "scope": cast(Any, {"type": "http", "method": "GET"}),
                "transport": self.transport,
                "flow": self.flow,
                "logger": logging.getLogger("tests"),
                "access_logger": logging.getLogger("tests.access"),
                "access_log": False,
                "default_headers": [DATE],
                "message_event": asyncio.Event(),
                "expect_100_continue": False,
                "keep_alive": True,
                "on_response": self.end,
                **options,
            }
        )

    def end(self) -> None:
        self.ended += 1

    async def take(self, messages: Sequence[Message]) -> "Sent":
        for message in messages:
            try:
                await self.cycle.send(cast(Any, message))
            except RuntimeError as error:
                self.errors.append(str(error))
                break
        return self

    @property
    def outcome(self) -> tuple[Any, ...]:
        return (
            b"".join(self.transport.pieces),
            self.transport.closed,
            self.ended,
            self.errors,
            self.cycle.response_complete,
            self.cycle.keep_alive,
        )


async def both(messages: Sequence[Message], **options: Any) -> tuple[Sent, Sent]:
    ours = await Sent(Cycle, **options).take(messages)
    return ours, await Sent(RequestResponseCycle, **options).take(messages)


@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_whole_is_written_in_one_piece(name: str) -> None:
    ours, theirs = await both(WHOLE[name])
    assert len(ours.transport.pieces) == 1
    assert ours.outcome == theirs.outcome
    assert ours.outcome[1:5] == (False, 1, [], True)


@pytest.mark.parametrize("name", [*WHOLE, *OTHERS])
@pytest.mark.parametrize(
    "options",
    [{}, {"keep_alive": False}, {"scope": {"type": "http", "method": "HEAD"}}],
    ids=["usual", "last", "HEAD"],
)
async def test_each_is_written_as_uvicorn_writes_it(name: str, options: dict[str, Any]) -> None:
    ours, theirs = await both({**WHOLE, **OTHERS}[name], **options)
    if theirs.errors:  # uvicorn may have written the head, and the connection breaks
        assert ours.errors == theirs.errors
        assert ours.ended == theirs.ended
    else:
        assert ours.outcome == theirs.outcome


async def test_a_server_that_drains_says_so() -> None:
    ours, theirs = await both(WHOLE["with a body"], default_headers=[(b"connection", b"close")])
    assert ours.outcome == theirs.outcome
    assert ours.transport.closed


async def test_access_logs_are_written(caplog: pytest.LogCaptureFixture) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "client": None,
    }
    caplog.set_level("INFO", "tests.access")
    await both(WHOLE["with a body"], access_log=True, scope=scope)
    assert len(caplog.messages) == 2


async def test_nothing_is_written_to_a_client_that_has_gone() -> None:
    for kind in (Cycle, RequestResponseCycle):
        sent = Sent(kind)
        sent.cycle.disconnected = True
        await sent.take(WHOLE["with a body"])
        assert sent.transport.pieces == []
        assert sent.ended == 0


async def test_a_response_waits_while_its_client_does_not_read() -> None:
    sent = Sent(Cycle)
    sent.flow.pause_writing()
    task = asyncio.create_task(sent.take(WHOLE["with a body"]))
    await asyncio.sleep(0)
    assert sent.transport.pieces == []
    sent.flow.resume_writing()
    await task
    assert sent.outcome == (await both(WHOLE["with a body"]))[1].outcome


async def test_a_client_is_not_told_to_go_on_after_its_response() -> None:
    for kind in (Cycle, RequestResponseCycle):
        sent = await Sent(kind, expect_100_continue=True).take(WHOLE["with a body"])
        assert await sent.cycle.receive() == {"type": "http.disconnect"}
        assert b"".join(sent.transport.pieces).startswith(b"HTTP/1.1 200 ")
        assert b"100 Continue" not in b"".join(sent.transport.pieces)


async def test_a_response_that_fails_before_its_body_is_not_begun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start(200, length(2)))
        raise ValueError

    sent = Sent(Cycle)
    await sent.cycle.run_asgi(cast(Any, fail))
    assert sent.transport.pieces == []
    assert sent.transport.closed
    assert "Exception in ASGI application\n" in caplog.messages


@pytest.mark.parametrize("messages", [[], [start(200, length(2))]], ids=["no message", "a head"])
async def test_an_application_that_returns_too_early_breaks_the_connection(
    messages: list[Message],
) -> None:
    async def leave(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    sent = Sent(Cycle)
    await sent.cycle.run_asgi(cast(Any, leave))
    assert sent.transport.closed
    assert b"".join(sent.transport.pieces).startswith(b"" if messages else b"HTTP/1.1 500 ")
