"""The queue for connections: callers take turns, and some places are for reads alone."""

import asyncio
from typing import Literal

from app.errors import Overloaded

# Seconds that a request waits for a connection.
POOL_WAIT_SECONDS = 2.0


class ConnectionQueue(asyncio.Semaphore):
    """Lets as many callers in as there are connections, in the order in which they came.

    SQLAlchemy's pool does not keep an order, so that under load some callers wait for many others.
    Some places are never for writes. Their commits may wait for a standby, and reads go on.
    Errors: Overloaded after POOL_WAIT_SECONDS.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._for_writes = asyncio.Semaphore(size - _places_without_writes(size))
        self.size = size
        self.in_use = 0
        self.waiting = 0
        self._to_keep = 0

    async def acquire(self, *, writes: bool = False) -> Literal[True]:
        if self.locked() or (writes and self._for_writes.locked()):
            await self._wait(writes)
        else:
            if writes:
                await self._for_writes.acquire()
            await super().acquire()
        self.in_use += 1
        return True

    def release(self, *, writes: bool = False) -> None:
        if writes and self._to_keep:
            self._to_keep -= 1
            return
        self.in_use -= 1
        if writes:
            self._for_writes.release()
        super().release()

    def keep(self) -> None:
        """A write that is about to release its place keeps it, until `give_back`."""
        self._to_keep += 1

    def give_back(self) -> None:
        if self._to_keep:  # the write still has its place
            self._to_keep -= 1
        else:
            self.release(writes=True)

    async def _wait(self, writes: bool) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                if writes:
                    await self._for_writes.acquire()
                try:
                    await super().acquire()
                except BaseException:
                    if writes:
                        self._for_writes.release()
                    raise
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1


def _places_without_writes(size: int) -> int:
    return max(1, size // 5) if size > 1 else 0
