"""Waits by what the event loop did, rather than by the clock alone.

A loop that is busy, and a process that was stopped, read late what has come in time. So time is
counted in steps: one that took the loop longer counts no more than the others, and between two of
them the loop has looked at what came meanwhile.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Seconds. What is waited for may need as many turns of the loop as there are steps in its time.
STEP = 0.02


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As asyncio.timeout: cancels what the block waits for, and raises TimeoutError."""
    loop = asyncio.get_running_loop()
    left = math.ceil(seconds / STEP)
    handle: asyncio.TimerHandle

    def step() -> None:
        nonlocal left, handle
        left -= 1
        if left > 0:
            handle = loop.call_later(STEP, step)
        else:
            timeout.reschedule(loop.time())

    async with asyncio.timeout(None) as timeout:
        handle = loop.call_later(STEP, step)
        try:
            yield
        finally:
            handle.cancel()
