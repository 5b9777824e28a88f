"""Finds the principal of an API key, in a cache or in the database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, any_, bindparam

from app.auth.keys import KEYS, live_keys
from app.auth.principals import CACHE_SECONDS, SCOPES, ExpiringCache, Principal
from app.postgres.coalescing import Coalescer
from app.postgres.statements import Statements

# About 3 MB at most. Unknown keys have a cache of their own, so that they push out no good ones.
CACHE_SIZE: Final = 10_000

_LOOKUP: Final = live_keys().where(
    KEYS.digest == any_(bindparam("digests", type_=ARRAY(LargeBinary)))
)


@dataclass(frozen=True, slots=True)
class _Found:
    key_id: UUID
    principal: Principal


class KeyLookup:
    """The lookup of one process. `used` collects the ids of the keys that it found.

    `statements` is called when there is a statement to run.
    """

    def __init__(
        self, statements: Callable[[], Statements], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.used: set[UUID] = set()
        self._statements = statements
        self._clock = clock
        self._good: ExpiringCache[_Found] = ExpiringCache(CACHE_SIZE, clock)
        self._unknown: ExpiringCache[bool] = ExpiringCache(CACHE_SIZE, clock)
        # However many unknown keys come, they take one connection.
        self._coalescer = Coalescer(self._look_up, max_running=1)

    def recall(self, digest: bytes) -> Principal | None:
        """The principal of a key that is in the cache."""
        return self._use(self._good.get(digest))

    async def find(self, digest: bytes) -> Principal | None:
        """The principal of a key; None: it is unknown, expired or revoked.

        Errors: those of the statement.
        """
        if self._unknown.get(digest):
            return None
        return self._use(await self._coalescer.ask(digest))

    def _use(self, found: _Found | None) -> Principal | None:
        if found is None:
            return None
        self.used.add(found.key_id)
        return found.principal

    async def _look_up(self, digests: Sequence[bytes]) -> Sequence[_Found | None]:
        # The previous statement may have found some of them.
        found = {digest: self._good.get(digest) for digest in digests}
        new = [digest for digest in found if not (found[digest] or self._unknown.get(digest))]
        if new:
            # Taken before the statement: a key may be revoked while it runs.
            started = self._clock()
            for row in await self._statements().execute(_LOOKUP, {"digests": new}):
                key = found[row.digest] = _Found(
                    row.id, Principal(f"key:{row.name}", SCOPES[row.scope], row.free_since)
                )
                lifetime = CACHE_SECONDS
                if row.seconds_left is not None:
                    lifetime = min(lifetime, float(row.seconds_left))
                self._good.put(row.digest, key, started + lifetime)
            for digest in new:
                if found[digest] is None:
                    self._unknown.put(digest, True, started + CACHE_SECONDS)
        return [found[digest] for digest in digests]
