"""Waits by what the event loop did, rather than by the clock alone.

A loop that is busy, and a process that was stopped, read late what has come in time. So time is
counted in steps: one that took the loop longer counts no more than the others, and after each the
loop has looked at what came meanwhile.
"""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

STEP = 0.05  # seconds

T = TypeVar("T")


async def done_within(seconds: float, task: asyncio.Task[Any]) -> bool:
    """Whether a task, which goes on if not, is done in that time."""
    for _ in range(math.ceil(seconds / STEP)):
        await asyncio.wait({task}, timeout=STEP)
        if task.done():
            return True
    return False


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises; TimeoutError, where it takes longer, and then it is cancelled."""
    task = asyncio.create_task(work)
    try:
        if await done_within(seconds, task):
            return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})
    raise TimeoutError
