"""Waiting counts the time in which the event loop had its turns."""

import asyncio
import time

import pytest

from app.database import waiting
from app.database.waiting import done_within, within
from tests.hogs import slow_turns


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "STEP", 0.01)


async def turns(number: int) -> str:
    """Is done after so many turns of the loop, however long they take."""
    for _ in range(number):
        await asyncio.sleep(0)
    return "done"


async def test_what_is_done_in_time_gives_its_result() -> None:
    assert await within(60, turns(3)) == "done"


async def test_what_fails_raises_its_error() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(60, fail())


async def test_what_never_comes_is_cancelled() -> None:
    cancelled = False

    async def never() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    with pytest.raises(TimeoutError):
        await within(0.05, never())
    assert cancelled


async def test_whoever_waits_may_be_cancelled_and_takes_the_work_along() -> None:
    work = asyncio.Event()
    ended: list[str] = []

    async def never() -> None:
        work.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    task = asyncio.create_task(within(60, never()))
    await work.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["work"]


async def test_slow_turns_use_up_no_time() -> None:
    """Ten steps; the clock would allow two of these turns."""
    with slow_turns(0.05):
        assert await within(0.1, turns(15)) == "done"


async def test_one_long_pause_counts_as_one_step() -> None:
    async def pause() -> str:
        await asyncio.sleep(0)
        time.sleep(0.5)  # nothing runs in this process meanwhile
        return await turns(5)

    assert await within(0.1, pause()) == "done"


async def test_with_slow_turns_an_end_comes_too() -> None:
    with slow_turns(0.01), pytest.raises(TimeoutError):
        await within(0.1, turns(10**9))


async def test_a_task_that_is_not_done_goes_on() -> None:
    task = asyncio.create_task(turns(10**9))
    assert not await done_within(0.03, task)
    assert not task.done()
    task.cancel()
