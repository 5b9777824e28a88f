"""Heads that no server may accept are refused, however they are split."""

import asyncio

import pytest

from tests.api.conftest import Running
from tests.connections import Connection, head
from tests.edge.test_protocol import answer_path, serving
from tests.responses import assert_problem
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

LIVEZ = head("GET", "/livez")
HOST = b"Host: satchel.test\r\n"
CODED = b"POST /accounts HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: %s\r\n\r\n0\r\n\r\n"


def each_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def with_hosts(*hosts: bytes) -> bytes:
    return b"GET /livez HTTP/1.1\r\n%s\r\n" % b"".join(b"Host: %s\r\n" % host for host in hosts)


VALID_HOSTS = [b"satchel.test", b"SATCHEL.test.", b"a_b", b"127.0.0.1:8000", b"[::1]", b"[::1]:80",
               b"x:", b"%C3%A9.test", b"xn--caf-dma.test:65535"]  # fmt: skip
INVALID_HOSTS = [b"", b" ", b":80", b"a b", b"a/b", b"a@b", b"a,b:1:2", b"a:b", b"a:65536", b"[::1",
                 b"[::1]x", b"[zz]", b"[:::]", b"::1", b"%zz", b"caf\xc3\xa9", b"a?b", b"a#b",
                 b"a\\b", b"a" * 301, b"a:" + b"1" * 5000, b"http://a", b'"a"', b"<a>"]  # fmt: skip

MALFORMED = {
    "HTTP/2.0": b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /livez HTTP/0.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "no version, with headers": b"GET /livez\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "RTSP/1.0": b"GET /livez RTSP/1.0\r\n" + HOST + b"\r\n",
    "RTSP/1.1": b"OPTIONS /livez RTSP/1.1\r\n" + HOST + b"\r\n",
    "a method of RTSP": b"DESCRIBE /livez RTSP/1.0\r\n" + HOST + b"\r\n",
    "ICE": b"SOURCE /livez ICE/1.0\r\n" + HOST + b"\r\n",
    "a method alone": b"GET\r\n\r\n",
    "a method and a line feed": b"GET\n",
    "a tunnel": b"CONNECT a.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel to a path": b"CONNECT /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel to a URL": b"CONNECT http://a.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": with_hosts(),
    "two Hosts": with_hosts(b"a", b"a"),
    "two Hosts in HTTP/1.0": with_hosts(b"a", b"b").replace(b"/1.1", b"/1.0"),
    "an invalid Host in HTTP/1.0": with_hosts(b"a b").replace(b"/1.1", b"/1.0"),
    "a coding that is not chunked": CODED % b"gzip",
    "chunked before another coding": CODED % b"chunked, gzip",
    "chunked twice": CODED % b"chunked, chunked",
    **{f"Host {host[:9]!r} {len(host)}": with_hosts(host) for host in INVALID_HOSTS},
}
# The beginning of a line may be that of an unknown method.
LINES = [
    b"BREW\r\n",
    b"BREW /livez\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x02\x00",
    b"{}",
]
UNKNOWN = {
    "an unknown method": (b"BREW /pot HTTP/1.1\r\n" + HOST + b"\r\n", "unknown_method"),
    "a method in small letters": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", "unknown_method"),
    "a longer method": (b"GETX / HTTP/1.1\r\n" + HOST + b"\r\n", "unknown_method"),
    "RTSP's in HTTP": (b"DESCRIBE / HTTP/1.1\r\n" + HOST + b"\r\n", "unknown_method"),
    "a coding before chunked": (CODED % b"gzip, chunked", "unknown_coding"),
    "codings in two fields": (
        CODED % b"gzip\r\nTransfer-Encoding: chunked",
        "unknown_coding",
    ),
    "identity": (CODED % b"identity, chunked", "unknown_coding"),
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
class TestMalformedHead:
    def test_gets_400(self, running: Running, request_: bytes) -> None:
        with Connection(running.port) as connection:
            connection.send(request_)
            assert_problem(connection.receive(), 400, "malformed_request", {})
            assert connection.ended()

    @pytest.mark.parametrize("in_one", [True, False])
    async def test_gets_400_however_it_is_split(self, request_: bytes, *, in_one: bool) -> None:
        """Byte by byte, or in one piece with the body of an earlier request."""
        body = b"/ HTTP/1.1\r\nRTSP/1.0"
        before = head("POST", "/before", [("Content-Length", str(len(body)))]) + body
        protocol, transport = serving(answer_path)
        for piece in [before[:-9], before[-9:] + request_] if in_one else each_byte(request_):
            if not transport.closed:
                protocol.data_received(piece)
                await asyncio.sleep(0)
        await until(transport.is_closing)
        assert b"HTTP/1.1 400 " in transport.written
        assert b'"code":"malformed_request"' in transport.written


@pytest.mark.parametrize("line", LINES)
def test_what_is_no_request_line_gets_400(running: Running, line: bytes) -> None:
    with Connection(running.port) as connection:
        connection.send(line)
        assert_problem(connection.receive(), 400, "malformed_request", {})
        assert connection.ended()


@pytest.mark.parametrize(("request_", "code"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_the_server_does_not_know_gets_501(
    running: Running, request_: bytes, code: str
) -> None:
    with Connection(running.port) as connection:
        connection.send(request_)
        assert_problem(connection.receive(), 501, code, {})
        assert connection.ended()


@pytest.mark.parametrize("host", VALID_HOSTS)
def test_valid_hosts_are_accepted(running: Running, host: bytes) -> None:
    with Connection(running.port) as connection:
        connection.send(with_hosts(host))
        # The head is fine. That the host is another machine's is a matter of its own.
        assert connection.receive().status_code in (200, 403)


def test_http_1_0_needs_no_host(running: Running) -> None:
    with Connection(running.port) as connection:
        connection.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert connection.receive().status_code == 200
        assert connection.ended()


def test_text_that_looks_like_a_request_line_is_no_request_line(running: Running) -> None:
    with Connection(running.port) as connection:
        value = ("X", "GET / RTSP/1.0")
        connection.send(b"\r\n" + head("GET", "/accounts?x=RTSP/1.0", [value]) + b"\r\n" + LIVEZ)
        assert [connection.receive().status_code for _ in range(2)] == [422, 200]


@pytest.mark.parametrize(
    "request_",
    [
        head("HEAD", "/livez", [("A b", "c")]),
        head("HEAD", "/livez", [("X", "x" * 70_000)]),
        b"HEAD /livez HTTP/1.1\r\n\r\n",
        head("HEAD", "/livez", [("Transfer-Encoding", "chunked")]) + b"z\r\n",
    ],
)
def test_a_refused_head_request_gets_no_body(running: Running, request_: bytes) -> None:
    with Connection(running.port) as connection:
        connection.send(request_)
        answer = connection.receive("HEAD")
        assert answer.status_code in (400, 431)
        assert int(answer.headers["content-length"]) > 0
        assert connection.ended()


@pytest.mark.parametrize(("digits", "status"), [("0" * 5000 + "2", 422), ("9" * 19, 413)])
def test_any_number_of_digits_is_a_length(running: Running, digits: str, status: int) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Length", digits)]
    with Connection(running.port) as connection:
        connection.send(head("POST", "/accounts", headers) + b"{}")
        assert connection.receive().status_code == status


@pytest.mark.parametrize("digits", ["9" * 5000, "1" + "0" * 5000])
def test_a_length_of_thousands_of_digits_is_refused(running: Running, digits: str) -> None:
    with Connection(running.port) as connection:
        connection.send(head("POST", "/accounts", [("Content-Length", digits)]))
        assert_problem(connection.receive(), 400, "malformed_request", {})
