"""Instances behind HAProxy are replaced by a new build as docs/operations.md says, under load."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.cluster.builds import VERSION_AFTER
from tests.cluster.cluster import Cluster
from tests.cluster.configuration import HOST, NEW_BUILDS, block
from tests.docs.console import open_shell
from tests.factories import account_body, next_number
from tests.load import get, load_on, post
from tests.servers import server_environment
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

REQUESTS = 10_000
DATABASE = "roll_over"


def new_account(*, with_key: bool) -> bytes:
    key = [f"Idempotency-Key: {next_number()}"] if with_key else []
    return post("/accounts", json.dumps(account_body()).encode(), *key)


async def test_no_request_fails_while_instances_are_replaced_by_a_new_build(
    cluster: Cluster,
    build_before: Path,
    build_after: Path,
    tmp_path: Path,
    record: Callable[..., None],
) -> None:
    await cluster.settle()
    leader = (await cluster.roles())["leader"]
    await cluster.query(leader, f"CREATE DATABASE {DATABASE} OWNER satchel", database="postgres")
    for name, programs in (("before", build_before), ("after", build_after)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bin").symlink_to(programs)
    environment = {
        **server_environment(cluster.url(cluster.parts.primary).set(database=DATABASE)),
        "MIGRATE_ON_START": "false",
        "POOL_SIZE": "5",
        "SHUTDOWN_DELAY": "2",
        "PYTHONPATH": "",  # each build finds its own code
    }
    start = cluster.parts.with_our_ports(block(NEW_BUILDS, "before/bin/satchel"))
    replace_both = cluster.parts.with_our_ports(block(NEW_BUILDS, "after/bin/satchel"))

    async with open_shell(tmp_path, environment=environment) as shell:
        await shell.run("set -eu")  # what fails ends the shell, and the test with its output
        await shell.run("before/bin/satchel migrate")
        await shell.run(start)
        front = cluster.parts.front
        await until(lambda: is_found("pass", front, "/readyz"), "HAProxy sees no instance")
        requests = (
            get("/accounts?limit=10"),
            get("/items?limit=10&count=estimated"),
            lambda: new_account(with_key=False),
            lambda: new_account(with_key=True),
        )
        async with load_on(front, *requests, clients=2) as load:
            for port in cluster.parts.instances:
                served = partial(is_found, 'route="/accounts"', port, "/metrics")
                await until(served, "an instance gets no requests")
            began = time.monotonic()
            await shell.run(replace_both)
            seconds = time.monotonic() - began
            await until(lambda: load.statuses.total() >= REQUESTS, "too few requests")
        versions = [
            httpx.get(f"http://{HOST}:{port}/").json()["version"]
            for port in cluster.parts.instances
        ]

    failed = {status: n for status, n in load.statuses.items() if status not in (200, 201)}
    total = load.statuses.total() + len(load.lost) + load.refused
    failures = sum(failed.values()) + len(load.lost) + load.refused
    event = f"a new build, in {seconds:.0f} s"
    record(event, "HAProxy", "", "0 failed", total - failures, "", "", f"{failures} failed")
    assert (failed, load.lost, load.refused) == ({}, [], 0)
    assert versions == [VERSION_AFTER] * 2
    [row] = await cluster.query(leader, "SELECT count(*) FROM accounts", database=DATABASE)
    assert row["count"] == load.statuses[201]


def is_found(text: str, port: int, path: str) -> bool:
    """Whether this is in a response of status 200."""
    try:
        answer = httpx.get(f"http://{HOST}:{port}{path}")
    except httpx.TransportError:
        return False
    return answer.is_success and text in answer.text
