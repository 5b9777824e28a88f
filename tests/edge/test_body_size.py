"""Bodies that are too large are refused at once, and the client gets the response."""

import pytest

from tests.api.cases import JSON, account
from tests.api.conftest import Running
from tests.catalog import CATALOG
from tests.connections import Connection, head
from tests.responses import assert_problem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

LIMIT = 1_048_576
BATCH_LIMIT = 16 * LIMIT
BATCHES = [
    f"POST {entry.path}:batch{verb}" for entry in CATALOG for verb in ("Create", "Update", "Delete")
]

with_body = pytest.mark.parametrize(
    "to",
    [
        operation
        for path, own in ((one.path, f"{one.path}/{{{one.name}}}") for one in CATALOG)
        for operation in (f"POST {path}", f"PUT {own}", f"PATCH {own}")
    ],
)


def request_head(running: Running, to: str, *header: tuple[str, str]) -> bytes:
    method, _, target = to.partition(" ")
    return head(method, target.format(**running.ids), [("Content-Type", JSON), *header])


@with_body
def test_declared_too_large_is_refused_before_it_is_sent(running: Running, to: str) -> None:
    with Connection(running.port) as connection:
        connection.send(request_head(running, to, ("Content-Length", str(LIMIT + 1))))
        assert_problem(connection.receive(), 413, "body_too_large", {})


@pytest.mark.parametrize("to", BATCHES)
def test_a_batch_has_a_limit_of_its_own(running: Running, to: str) -> None:
    with Connection(running.port) as connection:
        large = ("Content-Length", str(BATCH_LIMIT + 1))
        connection.send(request_head(running, to, large))
        assert_problem(connection.receive(), 413, "body_too_large", {})
    body = b'{"data": []}' + b" " * (BATCH_LIMIT - 12)
    with Connection(running.port) as connection:
        length = ("Content-Length", str(BATCH_LIMIT))
        connection.send(request_head(running, to, length) + body)
        assert_problem(connection.receive(), 422, "invalid_request", {"/data": "too_short"})
    chunk = b"%x\r\n" % (BATCH_LIMIT + 1) + body + b" \r\n0\r\n\r\n"
    with Connection(running.port) as connection:
        connection.send(request_head(running, to, ("Transfer-Encoding", "chunked")) + chunk)
        assert_problem(connection.receive(), 413, "body_too_large", {})


def test_a_client_that_expects_100_continue_gets_413(running: Running) -> None:
    headers = [("Content-Length", str(LIMIT + 1)), ("Expect", "100-continue")]
    with Connection(running.port) as connection:
        connection.send(request_head(running, "POST /accounts", *headers))
        # No interim response comes before it.
        assert_problem(connection.receive(), 413, "body_too_large", {})


@with_body
def test_sent_too_large_is_refused_and_the_connection_stays_open(running: Running, to: str) -> None:
    """If it closed while the client sends, the client would not read the response."""
    size = 3 * LIMIT
    with Connection(running.port) as connection:
        connection.send(request_head(running, to, ("Content-Length", str(size))) + b"[" * size)
        assert_problem(connection.receive(), 413, "body_too_large", {})
        connection.send(head("GET", "/livez"))
        assert connection.receive().status_code == 200


@with_body
def test_chunks_that_are_too_large_together_are_refused(running: Running, to: str) -> None:
    chunk = b"10000\r\n" + b"[" * 65_536 + b"\r\n"
    with Connection(running.port) as connection:
        connection.send(request_head(running, to, ("Transfer-Encoding", "chunked")))
        connection.send(chunk * 17 + b"0\r\n\r\n")
        assert_problem(connection.receive(), 413, "body_too_large", {})
        connection.send(head("GET", "/livez"))
        assert connection.receive().status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_the_limit_is_accepted(running: Running, chunked: bool) -> None:
    body = account(x="x" * 1_000_000)
    body += b" " * (LIMIT - len(body))
    length = ("Content-Length", str(LIMIT))
    if chunked:
        length, body = ("Transfer-Encoding", "chunked"), b"100000\r\n%s\r\n0\r\n\r\n" % body
    with Connection(running.port) as connection:
        connection.send(request_head(running, "POST /accounts", length) + body)
        assert_problem(connection.receive(), 422, "invalid_request", {"/x": "unknown"})


def test_the_body_of_a_client_that_disconnects_is_dropped(running: Running) -> None:
    body = account()
    request = request_head(running, "POST /accounts", ("Content-Length", str(len(body))))
    with Connection(running.port) as connection:
        connection.send_apart(request + body[:-1])
    with Connection(running.port) as connection:
        connection.send(head("GET", "/livez"))
        assert connection.receive().status_code == 200
