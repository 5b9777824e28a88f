"""A timeout that counts the turns of the event loop instead of the time on the clock alone.

When the loop is busy, or the process was stopped, answers that came in time are read late. So time
passes in steps: a step counts once, however long it took, and between two steps the loop reads what
has arrived.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# What the block waits for may need as many turns of the loop as its timeout has steps.
STEP_SECONDS = 0.02


@asynccontextmanager
async def loop_timeout(seconds: float) -> AsyncIterator[None]:
    """Like `asyncio.timeout`: cancels what the block waits for. Errors: TimeoutError."""
    loop = asyncio.get_running_loop()
    steps_left = math.ceil(seconds / STEP_SECONDS)
    handle: asyncio.TimerHandle

    def step() -> None:
        nonlocal steps_left, handle
        steps_left -= 1
        if steps_left > 0:
            handle = loop.call_later(STEP_SECONDS, step)
        else:
            timeout.reschedule(loop.time())

    async with asyncio.timeout(None) as timeout:
        handle = loop.call_later(STEP_SECONDS, step)
        try:
            yield
        finally:
            handle.cancel()
