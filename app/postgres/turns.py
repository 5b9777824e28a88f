"""Turns for others during long work on many rows. They may be given in a transaction, too: nobody
decides how long they take but the requests of this process.
"""

import asyncio
from time import perf_counter
from typing import Final

TURN_SECONDS: Final = 0.0005


class Turns:
    """Of one work, which begins now."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def give(self) -> None:
        """Let others run, unless they have a short time ago."""
        if perf_counter() - self._since > TURN_SECONDS:
            await asyncio.sleep(0)
            self._since = perf_counter()
