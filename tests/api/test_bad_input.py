"""Bad input, byte by byte, to a running server: refused as documented, never stored, never a 5xx.

Each case is a request. Besides its own status, code and faults, none may change a row, repeat a
value in the answer, or surprise the server.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from tests.api import bad_bodies, bad_requests, bad_targets, bad_values
from tests.api.cases import SECRET, UNKNOWN, Case, send
from tests.api.conftest import Running
from tests.connections import Connection, exchange
from tests.responses import assert_problem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

CASES = [
    *bad_bodies.malformed_json(),
    *bad_bodies.strange_json(),
    *bad_bodies.media_types(),
    *bad_bodies.urlencoded(),
    *bad_bodies.multipart(),
    *bad_bodies.malformed_multipart(),
    *bad_bodies.names(),
    *bad_bodies.together(),
    *bad_values.values(),
    *bad_targets.queries(),
    *bad_targets.paths(),
    *bad_targets.methods(),
    *bad_targets.headers(),
    *bad_requests.of_resources(),
]


def assert_refused(running: Running, case: Case) -> None:
    answer = exchange(running.port, case.request(running.ids), case.method)
    status, _, code = case.answer.partition(" ")
    told = dict(islice(case.places.items(), 100))
    problem = assert_problem(answer, int(status), code, told)
    assert problem.get("more_errors", 0) == len(case.places) - len(told)
    assert SECRET not in str(answer.headers) + answer.text
    # A detail says what is wrong, or what is allowed.
    assert "documented form" not in str(problem["errors"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused_as_documented(running: Running, case: Case) -> None:
    assert_refused(running, case)


TAKEN = b'{"email": "taken@example.com", "username": "x"}'
STALE = b'{"email": "taken@example.com", "username": "x", "version": 7}'
FAULTY = b'{"email": 0}'
NO_JSON = b"{"
TOO_LARGE = b"[" * 1_048_577
NO_TAGS = (("If-Match", "x"),)
OLD_TAG = (("If-Match", '"7"'),)
NEW_TAG = (("If-Match", '"1"'),)
NOBODY = "PUT /accounts/nobody?x=1"


def precedence() -> Iterator[Case]:
    """Requests with several faults; each has those of the next ones too, as far as they meet."""
    foreign: dict[str, Any] = {"media_type": "x/y", "headers": NO_TAGS}
    yield send("path", TOO_LARGE, to="POST /nowhere?x=1", answer="404 not_found", **foreign)
    method = "POST /items/nobody?x=1"
    yield send("method", TOO_LARGE, to=method, answer="405 method_not_allowed", **foreign)
    yield send("size", TOO_LARGE, to=NOBODY, answer="413 body_too_large", **foreign)
    yield send("type", NO_JSON, to=NOBODY, answer="415 unsupported_media_type", **foreign)
    yield send("body", NO_JSON, to=NOBODY, answer="400 malformed_body")
    tags, malformed = "If-Match: invalid_format", "400 malformed_header"
    yield send("header", FAULTY, tags, to=NOBODY, headers=NO_TAGS, answer=malformed)
    unknown = f"PUT /accounts/{UNKNOWN}"
    faults = ("/email wrong_type", "/username required", "?x unknown")
    yield send("fields", FAULTY, *faults, to=f"{unknown}?x=1", headers=OLD_TAG)
    yield send("resource", TAKEN, to=unknown, headers=OLD_TAG, answer="404 account_not_found")
    yield send("resource", STALE, to=unknown, answer="404 account_not_found")
    other = "PUT /accounts/{other}"
    yield send("condition", TAKEN, to=other, headers=OLD_TAG, answer="412 stale_version")
    yield send("version", STALE, to=other, headers=NEW_TAG, answer="412 stale_version")
    taken = "/email not_unique"
    yield send("conflict", TAKEN, taken, to=other, headers=NEW_TAG, answer="409 email_taken")


@pytest.mark.parametrize("case", list(precedence()), ids=lambda case: case.name)
def test_the_first_of_several_faults_answers(running: Running, case: Case) -> None:
    assert_refused(running, case)


NOT_HTTP = {
    "length is no number": b"POST /accounts HTTP/1.1\r\nContent-Length: x\r\n\r\n{}",
    "length is negative": b"POST /accounts HTTP/1.1\r\nContent-Length: -2\r\n\r\n{}",
    "length has a sign": b"POST /accounts HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
    "length is empty": b"POST /accounts HTTP/1.1\r\nContent-Length:\r\n\r\n{}",
    "length is hexadecimal": b"POST /accounts HTTP/1.1\r\nContent-Length: 0x2\r\n\r\n{}",
    "length overflows": b"POST /accounts HTTP/1.1\r\nContent-Length: " + b"9" * 20 + b"\r\n\r\n",
    "two lengths": b"POST /accounts HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length of chunks": b"POST /accounts HTTP/1.1\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size is no number": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    "unknown coding": b"POST /accounts HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "tunnel": b"CONNECT example.com:80 HTTP/1.1\r\n\r\n",
    "unknown version": b"GET /accounts HTTP/7.3\r\n\r\n",
    "no path": b"GET ?limit=5 HTTP/1.1\r\n\r\n",
    "raw bytes in the path": b"GET /\xff HTTP/1.1\r\n\r\n",
    "raw bytes in the query": b"GET /accounts?username=\xc3\xa9 HTTP/1.1\r\n\r\n",
    "space in a name": b"GET /accounts HTTP/1.1\r\nA b: c\r\n\r\n",
    "no colon": b"GET /accounts HTTP/1.1\r\nnonsense\r\n\r\n",
    "NUL in a value": b"GET /accounts HTTP/1.1\r\nIf-Match: \0\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("request_", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_no_http_is_answered_by_the_server_itself(
    running: Running, request_: bytes
) -> None:
    with Connection(running.port) as connection:
        connection.send(request_)
        assert_problem(connection.receive(), 400, "malformed_request", {})
