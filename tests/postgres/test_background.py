"""Background tasks end with their block, and their errors do not get lost."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from app.postgres import background
from app.postgres.background import running


@pytest.fixture(autouse=True)
def _uncached_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "log", structlog.get_logger("satchel.background"))


async def test_the_task_is_cancelled_at_the_end_of_the_block() -> None:
    ended = False

    async def wait() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    with capture_logs() as logs:
        async with running(wait()):
            await asyncio.sleep(0)
            assert not ended
    assert ended
    assert logs == []


async def test_a_task_may_end_before_the_block() -> None:
    with capture_logs() as logs:
        async with running(asyncio.sleep(0)):
            await asyncio.sleep(0.01)
    assert logs == []


async def test_a_failure_is_logged_at_once_and_raised_at_the_end_of_the_block() -> None:
    async def fail() -> None:
        raise LookupError("unexpected")

    with capture_logs() as logs, pytest.raises(LookupError, match="unexpected"):
        async with running(fail()):
            await asyncio.sleep(0.01)
            (line,) = logs
    assert (line["event"], line["log_level"]) == ("background task failed", "error")
    assert isinstance(line["exc_info"], LookupError)


async def test_a_failure_after_the_cancellation_is_raised_too() -> None:
    async def fail_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("unexpected")

    with pytest.raises(LookupError, match="unexpected"):
        async with running(fail_to_end()):
            await asyncio.sleep(0)


async def test_an_error_of_the_block_cancels_the_task() -> None:
    tasks = asyncio.all_tasks()
    with pytest.raises(LookupError, match="of the block"):
        async with running(asyncio.sleep(60)):
            raise LookupError("of the block")
    assert asyncio.all_tasks() == tasks
