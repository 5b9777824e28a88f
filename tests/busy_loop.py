"""Makes the running event loop busy: each of its turns takes longer."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_loop(seconds: float) -> Iterator[None]:
    """Add this time to each turn of the loop while the block runs."""
    loop = asyncio.get_running_loop()
    handle: asyncio.Handle

    def block() -> None:
        nonlocal handle
        time.sleep(seconds)
        handle = loop.call_soon(block)

    handle = loop.call_soon(block)
    try:
        yield
    finally:
        handle.cancel()
