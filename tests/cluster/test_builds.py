"""The build before works on the schema of the build after, and each honours what the other gave."""

import asyncio
import contextlib
import itertools
import os
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from tests.catalog import Entry, every_resource
from tests.clients.conftest import run_tool
from tests.databases import execute
from tests.factories import next_number
from tests.packaging.conftest import Program
from tests.servers import free_port, server_environment
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

# Whether the build before gives, and the build after takes, or the other way round.
both_ways = pytest.mark.parametrize("forward", [True, False])


class Builds:
    """Clients of a server of each build, on one database."""

    def __init__(self, before: httpx.AsyncClient, after: httpx.AsyncClient) -> None:
        self.before, self.after = before, after

    def giver_and_taker(self, forward: bool) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
        return (self.before, self.after) if forward else (self.after, self.before)

    async def body(self, entry: Entry) -> dict[str, Any]:
        """A new body with the fields that the build before knows, which tests of both send."""
        document = (await self.before.get("/openapi.json")).json()
        if entry.path not in document["paths"]:
            pytest.skip(f"the build before has no {entry.path}")
        known = document["components"]["schemas"][f"{entry.title}Create"]["properties"]
        parents = {name: (await self.create(one))["id"] for name, one in entry.parents().items()}
        body = {**entry.body(next_number()), **parents}
        return {name: value for name, value in body.items() if name in known}

    async def create(self, entry: Entry) -> dict[str, Any]:
        answer = await self.before.post(entry.path, json=await self.body(entry))
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row


@pytest.fixture(scope="module")
async def builds(
    database_server: URL,
    build_before: Path,
    build_after: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Builds]:
    """The build after migrates while a server of the build before runs, and goes on to."""
    name = f"satchel_builds_{secrets.token_hex(6)}"
    await execute(database_server, f'CREATE DATABASE "{name}"')
    url = database_server.set(database=name)
    variables = {**server_environment(url), "MIGRATE_ON_START": "false", "PYTHONPATH": ""}
    with contextlib.ExitStack() as stack:
        servers = []
        for programs in (build_before, build_after):
            folder = tmp_path_factory.mktemp("server")
            satchel, port = programs / "satchel", free_port()
            migrate = partial(
                run_tool, satchel, "migrate", cwd=folder, seconds=PATIENCE, **variables
            )
            await asyncio.to_thread(migrate)
            command = (satchel, "serve", "--port", port)
            server = Program(command, {**os.environ, **variables}, port, folder)
            stack.callback(server.stop)
            await asyncio.to_thread(server.wait_until_ready)
            servers.append(server)
        before, after = (httpx.AsyncClient(base_url=server.url) for server in servers)
        async with before, after:
            yield Builds(before, after)
    await execute(database_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@both_ways
@every_resource
async def test_each_build_reads_changes_and_deletes_what_the_other_wrote(
    builds: Builds, entry: Entry, forward: bool
) -> None:
    giver, taker = builds.giver_and_taker(forward)
    created = await giver.post(entry.path, json=await builds.body(entry))
    assert created.status_code == 201, created.text
    row = created.json()
    path = f"{entry.path}/{row['id']}"

    read = await taker.get(path)
    assert read.status_code == 200
    common = row.keys() & read.json().keys()
    assert {name: read.json()[name] for name in common} == {name: row[name] for name in common}
    assert read.headers["etag"] == created.headers["etag"]

    change = {name: value for name, value in entry.changes.items() if name in common}
    changed = await taker.patch(path, json=change, headers={"If-Match": created.headers["etag"]})
    assert changed.status_code == 200, changed.text
    again = await giver.get(path)
    assert again.headers["etag"] == changed.headers["etag"]

    assert (await taker.delete(path)).status_code == 204
    assert (await giver.get(path)).status_code == 404


@both_ways
@every_resource
async def test_a_key_that_one_build_has_taken_is_replayed_by_the_other(
    builds: Builds, entry: Entry, forward: bool
) -> None:
    giver, taker = builds.giver_and_taker(forward)
    body, headers = await builds.body(entry), {"Idempotency-Key": secrets.token_hex(8)}
    first = await giver.post(entry.path, json=body, headers=headers)
    again = await taker.post(entry.path, json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201), (first.text, again.text)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    for name in ("location", "etag"):
        assert again.headers[name] == first.headers[name]


@every_resource
async def test_pages_may_be_asked_of_either_build_in_turn(builds: Builds, entry: Entry) -> None:
    for _ in range(7):
        await builds.create(entry)
    everything = await builds.before.get(entry.path, params={"limit": 200})
    expected = {row["id"] for row in everything.json()["data"]}
    walked = 0
    for sort in (f"{sign}{name}" for name in entry.resource.sorts for sign in ("", "-")):
        query = {"sort": sort, "limit": "2"}
        if (await builds.before.get(entry.path, params=query)).status_code == 422:
            continue  # the build before has no such sort
        found = []
        for client in itertools.cycle((builds.before, builds.after)):
            page = await client.get(entry.path, params=query)
            assert page.status_code == 200, page.text
            found += [row["id"] for row in page.json()["data"]]
            if page.json()["next_cursor"] is None:
                break
            query["cursor"] = page.json()["next_cursor"]
        assert len(found) == len(expected)
        assert set(found) == expected
        walked += 1
    assert walked > 0
