"""The parts that decide what a figure means: CPU, checks, refusals and marks."""

import contextlib
import dataclasses
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import growth, measure, results, tables, wrk
from benchmarks.answers import WrongAnswerError
from benchmarks.check import check
from benchmarks.client import Client
from benchmarks.contestants.registry import CONTESTANTS, SATCHEL
from benchmarks.data import Amount, account, account_csv, account_id, email
from benchmarks.marks import COMPARED, MARKS, OPERATIONS
from benchmarks.plan import FULL, QUICK, Cell
from benchmarks.sample import Figures, median_of, take_sample
from benchmarks.targets import Targets, make_targets
from tests.programs import find_program

ON_LINUX = pytest.mark.skipif(not measure.can_measure(), reason="reads /proc, which is Linux's")


def figures(**values: float) -> Figures:
    names = Figures.__dataclass_fields__
    return Figures(**{**dict.fromkeys(names, 1.0), **values})


def measured(
    name: str, operation: str, connections: int = 32, **values: float
) -> dict[Cell, Figures]:
    return {Cell(name, operation, connections, workers=1): figures(**values)}


@ON_LINUX
def test_cpu_of_a_tree_is_what_its_processes_ran() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (tree,) = measure.trees(process.pid)
        assert len(tree) == 2
        alone, all_of_it = (
            measure.cpu_between({}, measure.cpu_seconds(pids)) for pids in ([process.pid], tree)
        )
        assert 0.29 < all_of_it - alone < 0.6
        assert measure.memory_mb(tree) > measure.memory_mb([process.pid]) > 0
        process.communicate(b"\n")
    assert measure.cpu_between({}, measure.cpu_seconds(tree)) == 0


def test_a_process_that_ends_takes_no_time_away() -> None:
    assert measure.cpu_between({1: 2.0, 2: 9.0}, {1: 2.5, 3: 0.25}) == 0.75
    assert measure.cpu_between({1: 2.0, 2: 9.0}, {1: 2.0, 2: 0.0}) == 0


@ON_LINUX
def test_settling_waits_no_longer_than_it_may() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        measure.settle(process.pid, seconds=0.2)
        process.kill()
    measure.settle(process.pid)


def test_accounts_are_the_same_in_every_run() -> None:
    first, second = (account_csv(Amount(3, 0), ("id", "email")) for _ in range(2))
    assert first == second
    assert first.decode().splitlines()[2] == f"{account_id(3)},{email(3)}"
    assert account_id(3).version == 7
    assert account_id(2) < account_id(3)
    assert len({account(number)["country"] for number in range(1, 200)}) > 10


class Answers(Client):
    """A server that answers every GET with this."""

    def __init__(self, answer: Any) -> None:
        super().__init__(port=0)
        self.answer = answer

    def get_json(self, path: str) -> Any:
        assert path.startswith("/accounts")
        return self.answer


def rows(*numbers: int) -> list[dict[str, str]]:
    return [account(number) for number in numbers]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("get", account(1)),
        ("get", {"detail": "Not found"}),
        ("list", {"data": rows(*range(50, 1, -1))}),
        ("list", rows(*range(1, 51))),
        ("filter", rows(*range(1, 51))),
    ],
)
def test_wrong_answers_are_found(operation: str, answer: Any) -> None:
    paths = {"get": ["/accounts/2"], "list": ["/accounts?limit=50"], "filter": ["/accounts"] * 50}
    with pytest.raises(WrongAnswerError):
        check(SATCHEL, operation, Answers(answer), Targets([2], paths))


def test_right_answers_pass() -> None:
    paths = {"get": ["/accounts/2"], "list": ["/accounts?limit=50"]}
    check(SATCHEL, "get", Answers(account(2)), Targets([2], paths))
    check(SATCHEL, "get", Answers({"data": account(2)}), Targets([2], paths))
    check(SATCHEL, "list", Answers(rows(*range(50, 0, -1))), Targets([2], paths))


def test_each_contestant_is_asked_in_its_own_way() -> None:
    found = {
        one.name: make_targets(one, Client(0), Amount(100, 0)).paths
        for one in CONTESTANTS
        if not one.promises
    }
    assert found["fastify"]["list"][0].startswith("/accounts?limit=50&before=2026-")
    assert found["directus"]["get"][0].startswith("/items/accounts/")
    assert "filter%5Bcreated%5D%5B_lt%5D=2026-" in found["directus"]["list"][0]
    assert found["directus"]["filter"][0].endswith("filter%5Bcountry%5D%5B_eq%5D=AE")


@contextlib.contextmanager
def answering(status: int, after: float = 0) -> Iterator[int]:
    """The port of a server that answers everything with this status, `after` some seconds."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(after)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def idle_process() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@ON_LINUX
@pytest.mark.slow
@pytest.mark.parametrize(("status", "after"), [(200, 0), (503, 0), (200, 0.3)])
def test_errors_are_not_measured_but_slow_answers_are(
    status: int, after: float, tmp_path: Path
) -> None:
    find_program("wrk", "wrk")
    constant = next(contestant for contestant in CONTESTANTS if contestant.constant)
    targets = tmp_path / "targets.lua"
    make_targets(constant, Client(0), Amount(100, 0)).write(targets, constant)
    cell = Cell(constant.name, "get", connections=2, workers=1)
    with answering(status, after) as port, idle_process() as pid:
        nothing = SimpleNamespace(pid=pid, count_statements=lambda _database: 0)
        server = SimpleNamespace(contestant=constant, pid=pid, port=port)
        arguments = (cast(Any, server), cast(Any, nothing), cell, targets, 0.1)
        if status == 200:
            assert take_sample(*arguments).requests_per_second > 0
        else:
            with pytest.raises(WrongAnswerError, match="were refused"):
                take_sample(*arguments)


def test_medians_are_taken_figure_by_figure() -> None:
    samples = [figures(server_us=value, p99_ms=-value) for value in (5, 1, 3)]
    assert median_of(samples) == figures(server_us=3, p99_ms=-3)


def test_marks_are_held_or_missed() -> None:
    found = {
        **measured("satchel", "get", server_us=100, postgres_us=50, p99_ms=8),
        **measured("flask_tutorial", "get", server_us=1150),
        **measured("fastify", "get", server_us=80, postgres_us=100, p99_ms=5),
        **measured("satchel", "get", connections=1, p50_ms=0.5),
        **measured("raw_asgi", "get", connections=1, p50_ms=0.4),
    }
    reached = {mark.title: (mark, mark.reached(found, "get")) for mark in MARKS}
    mark, ratio = reached["server CPU at 32: tutorial / Satchel"]
    assert ratio == 11.5
    assert mark.holds(ratio, "get")
    mark, ratio = reached["server + PostgreSQL CPU at 32: bare Fastify / Satchel"]
    assert ratio == 1.2
    assert not mark.holds(ratio, "get")
    mark, ratio = reached["p99 at 32: Satchel / bare Fastify"]
    assert ratio == 1.6
    assert not mark.holds(ratio, "get")
    mark, ratio = reached["a lone client's median: Satchel / bare ASGI + asyncpg"]
    assert ratio == 1.25
    assert mark.holds(ratio, "get")
    assert reached["throughput at 32: Satchel / Fastify, same promises"][1] is None


def test_a_short_run_has_all_that_the_marks_compare() -> None:
    for plan in (FULL, QUICK):
        loads = set(plan.loads)
        assert {(op, mark.connections) for op in OPERATIONS for mark in MARKS} <= loads
        assert 1 in plan.workers
    assert set(COMPARED) <= {contestant.name for contestant in CONTESTANTS}


def test_the_table_of_marks_says_what_was_missed() -> None:
    found = {
        **measured("satchel", "get", server_us=100),
        **measured("flask_tutorial", "get", server_us=1099),
    }
    (line,) = (line for line in tables.marks_table(found).splitlines() if "tutorial" in line)
    assert line.startswith("server CPU at 32: tutorial / Satchel")
    assert "10.99 (>= 11) MISSED" in line
    assert "not measured" in line


def test_growth_is_told_from_the_loads_that_a_run_has() -> None:
    found = {
        Cell("satchel", "get", connections, workers): figures(requests_per_second=rate)
        for connections, workers, rate in ((32, 1, 100.0), (256, 1, 90.0), (256, 2, 180.0))
    }
    more_connections, more_workers = growth.compare_loads(found)
    assert more_connections.reached == 0.9
    assert more_connections.line.endswith("0.90 (>= 1.0) MISSED")
    assert more_workers.reached == 2
    assert more_workers.line.endswith("2.00 (>= 1.8)")
    assert list(growth.compare_loads({})) == []


# As wrk does if the signal comes before it begins to sleep.
DEAF_AT_FIRST = """
import json, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, end))
def end(*_):
    print(json.dumps(dict.fromkeys(sys.argv[1:], 1)), flush=True)
    sys.exit()
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def test_a_load_ends_whenever_it_is_told_to() -> None:
    names = [field.name for field in dataclasses.fields(wrk.Load)]
    command = [sys.executable, "-c", DEAF_AT_FIRST, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        load = wrk.Running(process)
        load.wait_until_ready()
        assert load.finish().requests == 1


@pytest.mark.parametrize(
    ("arguments", "prefix", "expected"),
    [
        ("'--enable-optimizations' '--with-lto'", "/usr/local", True),
        ("'--enable-shared'", "/usr", True),  # Debian's
        ("'--enable-shared'", "/root/.pyenv/versions/3.11.7", False),
        (None, "/opt/python", False),
    ],
)
def test_results_tell_how_python_was_built(
    arguments: str | None, prefix: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", {"CONFIG_ARGS": arguments}.get)
    monkeypatch.setattr("sys.base_prefix", prefix)
    assert results.machine(0)["optimized_python"] is expected
