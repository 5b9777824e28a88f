"""An event loop that is busy: each of its turns takes long."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def slow_turns(seconds: float) -> Iterator[None]:
    """Each turn of the running loop takes this much longer while the block runs."""
    loop = asyncio.get_running_loop()
    handle: asyncio.Handle

    def turn() -> None:
        nonlocal handle
        time.sleep(seconds)
        handle = loop.call_soon(turn)

    handle = loop.call_soon(turn)
    try:
        yield
    finally:
        handle.cancel()
