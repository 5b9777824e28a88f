"""The emails and phone numbers of accounts, those that are there and those that a load creates."""

import http.server
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from app.accounts.emails import normalize
from app.accounts.phones import e164
from benchmarks import wrk
from benchmarks.contacts import COUNTRIES, PROVIDERS, phone_number
from benchmarks.contestants.registry import CONTESTANTS
from benchmarks.data import account
from benchmarks.targets import Targets
from tests.programs import find_program


def assert_they_are_of_many_kinds(people: list[dict[str, str]]) -> None:
    for person in people:
        assert normalize(person["email"]) == person["email"]
        number = person["phone_number"]
        assert e164(number, None) == number
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
        assert region == person["country"]
    assert {person["country"] for person in people} == set(COUNTRIES)
    domains = Counter(person["email"].partition("@")[2] for person in people)
    providers = sum(domains[name] for name in PROVIDERS)
    assert 0.75 < providers / len(people) < 0.85
    seldom = [name for name, times in domains.items() if times == 1]
    assert 0.05 < len(seldom) / len(people) < 0.25


def test_there_are_fifty_countries_and_any_end_makes_a_valid_number() -> None:
    assert len(COUNTRIES) == 50
    for country in COUNTRIES:
        for end in (0, 47, 1234, 9999):
            number = phone_number(country, end)
            assert e164(number, None) == number


def test_accounts_have_the_numbers_and_domains_of_a_population() -> None:
    assert_they_are_of_many_kinds([account(number) for number in range(1, 2000)])


@pytest.mark.slow
def test_a_load_creates_accounts_like_those_that_are_there(tmp_path: Path) -> None:
    find_program("wrk", "wrk")
    bodies: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if len(bodies) == 2000:
                enough.set()
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    enough = threading.Event()
    peer = next(one for one in CONTESTANTS if one.name == "raw_asgi")
    paths = {name: ["/"] for name in ("get", "list", "filter")}
    Targets([1], paths).write(tmp_path / "lua", peer)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with wrk.load(server.server_port, "create", 2, tmp_path / "lua") as load:
            load.wait_until_ready()
            assert enough.wait(300)
            load.finish()
        server.shutdown()
        thread.join()
    assert_they_are_of_many_kinds(bodies)
    assert len({body["email"] for body in bodies}) == len(bodies)
