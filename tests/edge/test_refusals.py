"""What the protocol refuses is counted, once."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Running
from tests.connections import Connection, exchange, head

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

CHUNKED = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
LIVEZ = head("GET", "/livez")
REFUSED = {
    "malformed_request": [b"GET\r\n", head("GET", "http://"), LIVEZ + b"\x16\x03",
                          head("POST", "/accounts", CHUNKED) + b"zz\r\n",
                          LIVEZ + head("POST", "/accounts", CHUNKED) + b"zz\r\n"],
    "unknown_method": [b"BREW / HTTP/1.1\r\n\r\n"],
    "unknown_coding": [head("POST", "/", [("Transfer-Encoding", "gzip, chunked")])],
    "head_too_large": [head("GET", "/", [("X", "x" * 70_000)]),
                       head("POST", "/accounts", CHUNKED) + b"0\r\n" + b"A: b\r\n" * 2_000],
    "target_too_long": [head("GET", "/" + "x" * 70_000)],
}  # fmt: skip


def problems(running: Running) -> dict[str, float]:
    answer: httpx.Response = exchange(running.port, head("GET", "/metrics"))
    return {
        sample.labels["code"]: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "satchel_problems_total"
    }


@pytest.mark.parametrize("code", REFUSED)
def test_each_refusal_is_counted_once(running: Running, code: str) -> None:
    before = problems(running)
    for sent in REFUSED[code]:
        with Connection(running.port) as connection:
            connection.send(sent)
            for _ in range(sent.count(b"/livez")):
                assert connection.receive().status_code == 200
            assert connection.receive().json()["code"] == code
            assert connection.ended()
    after = problems(running)
    assert after.pop(code) - before.pop(code) == len(REFUSED[code])
    assert after == before
