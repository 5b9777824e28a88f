"""The timeout only counts time in which the event loop had its turns."""

import asyncio
import time

import pytest

from app.postgres import loop_timeout as timeouts
from app.postgres.loop_timeout import loop_timeout
from tests.busy_loop import busy_loop


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "STEP_SECONDS", 0.01)


async def turns(number: int) -> str:
    """End after so many turns of the loop, however long they take."""
    for _ in range(number):
        await asyncio.sleep(0)
    return "done"


async def test_a_block_that_ends_in_time_is_not_cancelled() -> None:
    async with loop_timeout(60):
        assert await turns(3) == "done"


async def test_errors_of_the_block_are_raised() -> None:
    with pytest.raises(ValueError, match="no"):
        async with loop_timeout(60):
            raise ValueError("no")


async def test_a_block_that_takes_longer_is_cancelled() -> None:
    cancelled = False
    with pytest.raises(TimeoutError):
        async with loop_timeout(0.05):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise
    assert cancelled


async def test_the_waiting_task_may_be_cancelled() -> None:
    waits = asyncio.Event()

    async def wait() -> None:
        async with loop_timeout(60):
            waits.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_slow_turns_do_not_use_up_the_time() -> None:
    """Ten steps; by the clock there would be two of these turns."""
    with busy_loop(0.05):
        async with loop_timeout(0.1):
            assert await turns(9) == "done"


async def test_one_long_pause_counts_as_one_step() -> None:
    async with loop_timeout(0.1):
        await asyncio.sleep(0)
        time.sleep(0.5)  # blocks the whole process
        assert await turns(5) == "done"


async def test_with_slow_turns_it_ends_too() -> None:
    with busy_loop(0.02), pytest.raises(TimeoutError):
        async with loop_timeout(0.1):
            await turns(10**9)
