"""Turns for others during long work on many rows. They may be given in a transaction, too: nobody
decides how long they take but the requests of this process.
"""

import asyncio
from typing import Final

ROWS_PER_TURN: Final = 4


async def give_turn(position: int = 0) -> None:
    """Let others run before the row of this position, unless they have a short time ago."""
    if position % ROWS_PER_TURN == 0:
        await asyncio.sleep(0)
