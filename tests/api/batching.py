"""Batches that the tests send."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import httpx
import pytest

from app.postgres.turns import TURN_SECONDS
from tests.catalog import Entry, Row

SYSTEM_FIELDS = ("id", "created", "updated", "version")


async def valid_bodies(client: httpx.AsyncClient, entry: Entry, number: int) -> list[Row]:
    """Valid bodies with the same parents."""
    first = await entry.valid_body(client)
    parents = {name: first[name] for name in entry.parents()}
    return [first, *[await entry.valid_body(client, **parents) for _ in range(number - 1)]]


async def send(
    client: httpx.AsyncClient,
    entry: Entry,
    verb: str,
    rows: Any,
    headers: Mapping[str, str] | None = None,
    **query: Any,
) -> httpx.Response:
    path = f"{entry.path}:batch{verb}"
    return await client.post(path, json={"data": rows}, headers=headers, params=query)


async def create(client: httpx.AsyncClient, entry: Entry, number: int) -> list[Row]:
    """New rows."""
    answer = await send(client, entry, "Create", await valid_bodies(client, entry, number))
    assert answer.status_code == 201, answer.text
    rows: list[Row] = answer.json()["data"]
    return rows


async def stored(client: httpx.AsyncClient, entry: Entry, rows: Sequence[Row]) -> list[Row]:
    """What is stored of these rows now, in their order."""
    answer = await client.get(f"{entry.path}:batchGet", params={"id": [row["id"] for row in rows]})
    found: list[Row] = answer.json()["data"]
    return found


async def total(client: httpx.AsyncClient, entry: Entry) -> int:
    """The number of rows of the resource."""
    answer = await client.get(entry.path, params={"count": "exact", "limit": 1})
    number: int = answer.json()["count"]
    return number


def at_rows(faults: dict[str, str], *rows: int) -> dict[str, str]:
    """The faults of one row, at each of these rows of a batch."""
    return {f"/data/{row}{place}": code for row in rows for place, code in faults.items()}


def make_turns_last(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a work on rows, whatever time it takes."""
    clock = count(0, 1.01 * TURN_SECONDS / rows)
    monkeypatch.setattr("app.postgres.turns.perf_counter", clock.__next__)


class LoopTurns:
    """Counts the turns of the event loop while it runs."""

    def __init__(self) -> None:
        self.number = 0
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()
