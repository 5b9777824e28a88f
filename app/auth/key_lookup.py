"""Finds the principal of a key: remembered for 30 s, else by a statement that many share.

While a statement is under way the keys that are asked for meanwhile gather, and go out together in
the next: however many unknown keys come, they take one connection.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, any_, bindparam

from app.auth.keys import KEYS, live_keys
from app.auth.principals import REMEMBERED, SCOPES, Memory, Principal
from app.postgres.statement_count import count_statement, stop_statement_count
from app.postgres.statements import Statements

MAX_BATCH: Final = 100
# Some 3 MB at worst. Unknown keys have a memory of their own, where they push out no others.
SIZE: Final = 10_000

_LOOKUP: Final = live_keys().where(
    KEYS.digest == any_(bindparam("digests", type_=ARRAY(LargeBinary)))
)


@dataclass(frozen=True, slots=True)
class Found:
    """A key that is good."""

    key_id: UUID
    principal: Principal


class KeyLookup:
    """One for each process. `used` collects the ids of the keys that were found."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.used: set[UUID] = set()
        self._clock = clock
        self._good: Memory[Found] = Memory(SIZE, clock)
        self._unknown: Memory[bool] = Memory(SIZE, clock)
        self._asked: dict[bytes, asyncio.Future[Found | None]] = {}
        self._waiting: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def recall(self, digest: bytes) -> Principal | None:
        """The principal of a key that was found lately."""
        found = self._good.get(digest)
        if found is None:
            return None
        self.used.add(found.key_id)
        return found.principal

    async def find(self, digest: bytes, statements: Statements) -> Principal | None:
        """The principal of a well-formed key; None: it is unknown, expired or revoked.

        Errors: those of the statement.
        """
        if self._unknown.get(digest):
            return None
        count_statement()
        future = self._asked.get(digest)
        if future is None:
            future = self._asked[digest] = asyncio.get_running_loop().create_future()
            self._waiting.append(digest)
            if self._task is None:
                self._task = asyncio.create_task(self._work(statements))
        found = await asyncio.shield(future)  # others may wait for it when this request goes away
        if found is None:
            return None
        self.used.add(found.key_id)
        return found.principal

    async def _work(self, statements: Statements) -> None:
        stop_statement_count()
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                found = await self._look_up(batch, statements)
            except Exception as error:  # each request raises it
                for digest in batch:
                    future = self._asked.pop(digest)
                    future.set_exception(error)
                    future.exception()  # known, even if no request waits any longer
            else:
                for digest in batch:
                    self._asked.pop(digest).set_result(found.get(digest))
        self._task = None

    async def _look_up(self, batch: list[bytes], statements: Statements) -> dict[bytes, Found]:
        # From before the statement, so that it holds no longer after a key was revoked.
        started = self._clock()
        rows = await statements.execute(_LOOKUP, {"digests": batch})
        found = {}
        for row in rows:
            principal = Principal(f"key:{row.name}", SCOPES[row.scope])
            found[row.digest] = Found(row.id, principal)
            left = REMEMBERED if row.seconds_left is None else float(row.seconds_left)
            self._good.keep(row.digest, found[row.digest], started + min(REMEMBERED, left))
        for digest in batch:
            if digest not in found:
                self._unknown.keep(digest, True, started + REMEMBERED)
        return found
