"""The turns of callers for a connection, and the places that writes never take."""

import asyncio

import pytest

from app.errors import Overloaded
from app.postgres import connection_queue
from app.postgres.connection_queue import ConnectionQueue
from tests.waiting import come


async def test_first_come_first_served() -> None:
    queue = ConnectionQueue(2)
    served: list[int] = []

    async def take(number: int) -> None:
        async with queue:
            served.append(number)
            for _ in range(3):
                await asyncio.sleep(0)

    await asyncio.gather(*(take(number) for number in range(20)))
    assert served == list(range(20))


async def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", 0.01)
    queue = ConnectionQueue(1)
    async with queue:
        for writes in (False, True):
            with pytest.raises(Overloaded):
                await queue.acquire(writes=writes)
    await come(queue.acquire(writes=True))  # they have taken no place with them


@pytest.mark.parametrize("writes", [False, True])
async def test_who_goes_away_takes_no_place_with_it(*, writes: bool) -> None:
    queue = ConnectionQueue(1)

    async def take() -> None:
        await queue.acquire(writes=writes)
        queue.release(writes=writes)

    async with queue:
        waiting = [asyncio.create_task(take()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    await come(waiting[1])
    await come(take())
    assert (queue.in_use, queue.waiting) == (0, 0)


async def test_a_failure_inside_gives_the_place_back() -> None:
    queue = ConnectionQueue(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            async with queue:
                raise ValueError("no")


@pytest.mark.parametrize(("size", "for_writes"), [(1, 1), (2, 1), (5, 4), (10, 8), (100, 80)])
async def test_writes_leave_places_to_reads(size: int, for_writes: int) -> None:
    queue = ConnectionQueue(size)
    writes = [asyncio.create_task(queue.acquire(writes=True)) for _ in range(size + 1)]
    await asyncio.sleep(0)
    assert sum(write.done() for write in writes) == queue.in_use == for_writes
    for _ in range(size - for_writes):
        await come(queue.acquire())
    assert queue.locked()
    queue.release(writes=True)  # the next write gets this place
    await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(3):
        await asyncio.sleep(0)
    assert sum(write.done() for write in writes) == for_writes + 1
    for write in writes:
        write.cancel()


async def test_reads_may_take_all_places() -> None:
    queue = ConnectionQueue(10)
    for _ in range(10):
        await come(queue.acquire())
    assert queue.in_use == 10


async def test_a_write_may_keep_its_place() -> None:
    queue = ConnectionQueue(2)
    await queue.acquire(writes=True)
    queue.keep()
    queue.release(writes=True)
    later = asyncio.create_task(queue.acquire(writes=True))
    await asyncio.sleep(0)
    assert not later.done()
    assert queue.in_use == 1
    async with queue:  # a read
        pass
    queue.give_back()
    await come(later)
    queue.release(writes=True)
    assert queue.in_use == 0


async def test_a_place_that_is_given_back_before_its_write_ends_is_free_after_it() -> None:
    queue = ConnectionQueue(2)
    await queue.acquire(writes=True)
    queue.keep()
    queue.give_back()
    assert queue.in_use == 1
    queue.release(writes=True)
    assert queue.in_use == 0
    await come(queue.acquire(writes=True))
