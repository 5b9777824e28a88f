"""Waiting for what must come: a busy machine may take its time, so the bound is for hanging."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 120.0  # seconds


async def until(met: Callable[[], object], what: str = "it never comes") -> None:
    """Return once this holds, and let others run meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def wait_until(met: Callable[[], object], what: str = "it never comes") -> None:
    """The same where there is no loop."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
