"""Waits for a condition, with a timeout that only ends tests that would never end."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 180.0  # seconds


async def until(
    condition: Callable[[], Awaitable[object] | object], what: str = "the condition never holds"
) -> None:
    """Return once the condition holds; `what` is the message of the failure if it never does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if await found if inspect.isawaitable(found) else found:
            return
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], object], what: str = "the condition never holds") -> None:
    """Like `until`, without an event loop."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


async def come(awaitable: Awaitable[T]) -> T:
    """Its result."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def finish(tasks: Collection[asyncio.Task[Any]], what: str) -> None:
    """Wait for the end of these tasks; what one of them raises is raised. `what` is the message of
    the failure if one never ends.
    """
    done, pending = await asyncio.wait(tasks, timeout=PATIENCE)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
    assert not pending, what
