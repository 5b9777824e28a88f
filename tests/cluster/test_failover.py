"""A cluster replaces its primary while clients write: what was acknowledged stays, once.

How long writes are interrupted depends on the machine. It is printed beside the mark that holds for
one with nothing else to do; only a gap that no machine explains fails.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.cluster.cluster import Cluster, stopped
from tests.cluster.writers import Writers, losses, writing
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

LONGEST_GAP_SECONDS = 60
Disturb = Callable[[str, float, Callable[[], Awaitable[None]]], Awaitable[None]]


@pytest.fixture
def disturb(cluster: Cluster, writers: list[Writers], record: Callable[..., None]) -> Disturb:
    """Lets an event happen while all write, and checks what became of their writes."""

    async def disturb(event: str, mark: float, happen: Callable[[], Awaitable[None]]) -> None:
        async with writing(*writers):
            await asyncio.gather(*(each.flow() for each in writers))
            began = time.monotonic()
            await happen()
            await cluster.settle()
            await asyncio.gather(*(each.flow() for each in writers))
            ended = time.monotonic()
        leader = (await cluster.roles())["leader"]
        faults = {}
        for each in writers:
            gap, found = each.longest_gap(began, ended), await losses(each, cluster, leader)
            counts = len(each.acknowledged), len(found.lost), len(found.doubled)
            others = ", ".join(f"{n} x {reason}" for reason, n in each.refusals.items())
            record(event, each.through, f"{gap:.2f} s", f"{mark} s", *counts, others)
            if found.lost or found.doubled or gap > LONGEST_GAP_SECONDS:
                faults[each.through] = (gap, found)
        assert faults == {}

    return disturb


async def test_a_killed_primary_is_replaced_and_comes_back_as_a_replica(
    cluster: Cluster, writers: list[Writers], disturb: Disturb
) -> None:
    primary = (await cluster.roles())["leader"]

    async def kill() -> None:
        cluster.kill_postgres(primary)
        await cluster.wait_for("leader", other_than=primary)

    await disturb("kill -9 of the primary", 3.5, kill)

    [row] = await cluster.query(primary, "SELECT pg_is_in_recovery() AS is_replica")
    assert row["is_replica"]
    for each in writers:

        async def has_all(each: Writers = each) -> bool:
            return (await losses(each, cluster, primary)).lost == set()

        await until(has_all, "the replica lacks what the primary has")


async def test_after_a_switchover_the_new_primary_has_all_writes(
    cluster: Cluster, disturb: Disturb
) -> None:
    before = (await cluster.roles())["leader"]
    await disturb("switchover", 2.5, cluster.switch_over)
    assert (await cluster.roles())["leader"] != before


async def test_a_synchronous_standby_that_hangs_is_replaced(
    cluster: Cluster, disturb: Disturb
) -> None:
    standby = (await cluster.roles())["sync_standby"]
    [receiver] = await cluster.query(standby, "SELECT pid FROM pg_stat_wal_receiver")

    async def hang() -> None:
        with stopped(receiver["pid"]):
            await cluster.wait_for("sync_standby", other_than=standby)

    await disturb("the synchronous standby hangs", 5.0, hang)


async def test_without_a_synchronous_standby_acknowledged_writes_are_lost(
    cluster: Cluster, writers: list[Writers], record: Callable[..., None]
) -> None:
    """So what the tests above find is what they look for."""
    await cluster.configure(synchronous_mode=False)
    try:
        await cluster.settle("async", "async")
        primary, some = (await cluster.roles())["leader"], writers[0]
        rows = await cluster.query(primary, "SELECT pid FROM pg_stat_replication")
        senders = [row["pid"] for row in rows]
        with stopped(*senders):
            async with writing(some):
                await some.flow()
                cluster.kill_postgres(primary)
                for pid in senders:  # they would send what they have
                    os.kill(pid, signal.SIGKILL)
                leader = await cluster.wait_for("leader", other_than=primary)
                await some.flow()
        found = await losses(some, cluster, leader)
        counts = len(some.acknowledged), len(found.lost), len(found.doubled)
        record("kill -9, asynchronous", some.through, "", "lost > 0", *counts, "")
        assert found.lost
    finally:
        await cluster.configure(synchronous_mode=True)
        await cluster.settle()
