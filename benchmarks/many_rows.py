"""Many rows in one request beside many requests, and what long requests do to short ones."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import measure
from benchmarks.client import Client
from benchmarks.contestants.registry import SATCHEL
from benchmarks.data import Amount, account, account_id
from benchmarks.findings import Finding
from benchmarks.harness import targets_path, tell
from benchmarks.plan import Cell, Plan
from benchmarks.postgres import Postgres
from benchmarks.prepare import make_databases
from benchmarks.sample import take_sample
from benchmarks.server import Server, headers_of, running_servers
from benchmarks.targets import make_targets

_CREATED, _GOT = 1000, 200  # rows of a batch
_FIELDS = ("email", "username", "dob", "country", "phone_number")
_PATIENCE = 600


def measure_many_rows(postgres: Postgres, plan: Plan, folder: Path) -> Iterator[Finding]:
    """Batches and files on a server of one worker."""
    amount, seconds = Amount(plan.amount.accounts, 0), plan.seconds
    contestant = replace(SATCHEL, name="satchel_many")
    tell(f"loading {amount.accounts:,} accounts for batches")
    make_databases(postgres, [contestant], amount, folder)
    with running_servers([contestant], postgres, 1, folder) as (server,):
        server.wait_until_ready()
        client = Client(server.port, headers_of(contestant, folder), timeout=_PATIENCE)
        path = targets_path(folder, contestant)
        make_targets(contestant, client, amount).write(path, contestant)

        def sample(operation: str, connections: int) -> dict[str, float]:
            cell = Cell(contestant.name, operation, connections, workers=1)
            return vars(take_sample(server, postgres, cell, path, seconds))

        single = sample("create", 32)["requests_per_second"]
        bodies = _bodies(amount.accounts + 10**6)
        rate = _CREATED * _repeat(seconds, lambda body: _create(client, body), bodies)[0]
        title = f"batchCreate of {_CREATED:,} / creates by 32 connections: rows a second"
        yield Finding(title, rate / single, 5, at_most=False)

        alone = sample("get", 32)["server_us"]
        ids = "&".join(f"id={account_id(n)}" for n in range(1, min(_GOT, amount.accounts) + 1))
        before = measure.cpu_seconds(measure.trees(server.pid)[0])
        asked = itertools.repeat(f"/accounts:batchGet?{ids}")
        _, times = _repeat(seconds, client.get_json, asked)
        after = measure.cpu_seconds(measure.trees(server.pid)[0])
        together = measure.cpu_between(before, after) / times * 1e6
        title = f"batchGet of {_GOT} / {_GOT} gets by 32 connections: CPU"
        yield Finding(title, together / (alone * _GOT), 0.125, at_most=True)

        quiet = sample("get", 16)["p99_ms"]
        with _long_requests(server, amount, folder):
            loud = sample("get", 16)["p99_ms"]
        title = "get by 16 connections, with an export and an import / without: p99"
        yield Finding(title, loud / quiet, 3, at_most=True)


def _repeat(
    seconds: float, request: Callable[[str], object], given: Iterator[str]
) -> tuple[float, int]:
    """How often a second a request is answered, and how often it was, for so long.

    given: what the requests are given. The time in which it is made does not count.
    """
    times, taken = 0, 0.0
    while taken < seconds:
        body = next(given)
        began = time.monotonic()
        request(body)
        taken += time.monotonic() - began
        times += 1
    return times / taken, times


def _bodies(first: int) -> Iterator[str]:
    for start in itertools.count(first, _CREATED):
        rows = [_body(number) for number in range(start, start + _CREATED)]
        yield json.dumps({"data": rows})


def _create(client: Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.ask("POST", "/accounts:batchCreate", body, headers)
    if answer.status != 201:
        raise ValueError(f"the batch answered {answer.status}: {answer.body[:200]!r}")


def _body(number: int) -> dict[str, str]:
    row = account(number)
    return {name: row[name] for name in _FIELDS}


@contextmanager
def _long_requests(server: Server, amount: Amount, folder: Path) -> Iterator[None]:
    """Exports and imports, one of each at a time, while the block runs."""
    client = Client(server.port, headers_of(server.contestant, folder), timeout=_PATIENCE)
    rows = [_body(number) for number in range(1, amount.accounts // 2 + 1)]
    file = "\n".join([",".join(_FIELDS), *(",".join(row.values()) for row in rows)])
    requests = (
        lambda: client.ask("GET", "/accounts:export"),
        lambda: client.ask(
            "POST",
            "/accounts:import?on_conflict=skip",
            file,
            {"Content-Type": "text/csv"},
        ),
    )
    has_ended = threading.Event()
    failed: list[int] = []

    def repeat(request: Callable[[], object]) -> None:
        while not has_ended.is_set():
            answer = request()
            if (status := getattr(answer, "status", 0)) != 200:
                failed.append(status)

    threads = [threading.Thread(target=repeat, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()
    if failed:
        raise ValueError(f"long requests were answered with {failed[:3]}")
