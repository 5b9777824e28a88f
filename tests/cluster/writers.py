"""Writers that go on through failures, and what became of what they wrote."""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg
import httpx

from tests.cluster.cluster import ERRORS, Cluster
from tests.cluster.configuration import Node
from tests.waiting import finish, until

PAUSE_SECONDS = 0.02  # the load is to find gaps, not limits


class Refused(Exception):
    """A write is not acknowledged: its outcome is unknown. The text is the reason."""


# Writes a row by name, maybe with that as its idempotency key, and returns its id. Errors: Refused.
Write = Callable[[str, bool], Awaitable[str]]


@dataclass
class Writers:
    """Clients that write through one address until they are stopped. table: what they write to.

    acknowledged: the ids of rows by their names. times: of acknowledgements.
    refusals: the other responses and errors, by their number.
    """

    through: str
    write: Write
    table: str = "items"
    keyed: int = 3
    unkeyed: int = 2
    acknowledged: dict[str, str] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def start(self) -> list[asyncio.Task[None]]:
        kinds = [True] * self.keyed + [False] * self.unkeyed
        return [asyncio.create_task(self._run(with_key)) for with_key in kinds]

    async def _run(self, with_key: bool) -> None:
        unknown = ""  # the name of a write whose outcome is
        while unknown or not self.stopped:
            name = unknown or uuid.uuid4().hex
            acknowledged = await self._try(name, with_key)
            # Without a key, another try could have a second effect.
            unknown = name if with_key and not acknowledged else ""
            await asyncio.sleep(PAUSE_SECONDS)

    async def _try(self, name: str, with_key: bool) -> bool:
        try:
            self.acknowledged[name] = await self.write(name, with_key)
        except Refused as refusal:
            self.refusals[str(refusal)] += 1
            return False
        self.times.append(time.monotonic())
        return True

    async def flow(self) -> None:
        """Return after some more acknowledged writes."""
        wanted = len(self.times) + 20
        await until(lambda: len(self.times) >= wanted, f"no writes through {self.through}")

    def longest_gap(self, began: float, ended: float) -> float:
        """The longest time in seconds without an acknowledged write between two instants."""
        within = [began, *(each for each in self.times if began < each < ended), ended]
        return max(later - each for each, later in itertools.pairwise(within))


@asynccontextmanager
async def writing(*writers: Writers) -> AsyncIterator[None]:
    """Writers write while the block runs, and until those with keys are told the outcome."""
    tasks = [task for each in writers for task in each.start()]
    try:
        yield
    finally:
        for each in writers:
            each.stopped = True
        await finish(tasks, "a write neither succeeds nor fails")


class Losses(NamedTuple):
    """Names of acknowledged writes that are not there, and of rows that are there twice."""

    lost: set[str]
    doubled: set[str]


async def losses(writers: Writers, cluster: Cluster, node: Node) -> Losses:
    """What this node has lost. Writers must have stopped."""
    sql = f"SELECT name, array_agg(id::text) AS ids FROM {writers.table} GROUP BY name"
    stored = {row["name"]: row["ids"] for row in await cluster.query(node, sql)}
    lost = {name for name, id_ in writers.acknowledged.items() if id_ not in stored.get(name, ())}
    return Losses(lost, {name for name, ids in stored.items() if len(ids) > 1})


def through_satchel(client: httpx.AsyncClient, account_id: str) -> Write:
    """Creates items by requests."""
    rest = {"account_id": account_id, "image_link": "https://example.com/lamp.jpg"}

    async def write(name: str, with_key: bool) -> str:
        headers = {"Idempotency-Key": name} if with_key else {}
        try:
            answer = await client.post("/items", json={"name": name, **rest}, headers=headers)
        except httpx.TransportError as error:
            raise Refused(type(error).__name__) from None
        if answer.status_code != 201:
            raise Refused(str(answer.status_code))
        return str(answer.json()["id"])

    return write


@asynccontextmanager
async def past_satchel(cluster: Cluster) -> AsyncIterator[Write]:
    """Inserts into a table of its own, on a connection that is replaced after each error."""
    nodes = ",".join(node.address for node in cluster.parts.nodes)
    url = f"postgresql://satchel:{cluster.parts.password}@{nodes}/satchel"
    url += "?target_session_attrs=read-write"
    connection: asyncpg.Connection | None = None

    async def write(name: str, with_key: bool) -> str:
        nonlocal connection
        try:
            if connection is None:
                connection = await asyncpg.connect(url, timeout=2)
            await connection.execute("INSERT INTO plain_writes VALUES ($1, $1)", name)
        except ERRORS as error:
            if connection is not None:
                connection.terminate()
                connection = None
            raise Refused(type(error).__name__) from None
        return name

    yield write
    if connection is not None:
        connection.terminate()
