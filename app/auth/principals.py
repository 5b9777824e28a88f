"""Principals: who sends a request and what it may do, and the cache of credentials found good."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

# What each scope includes.
SCOPES: Final = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
# Good credentials are not checked again for so long. A revoked key works for as long at most.
CACHE_SECONDS: Final = 30.0

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request. `name` may be logged, and begins with the kind of credentials.

    `since` is when the last key of an earlier owner of the name was revoked; None: there was none.
    """

    name: str
    scopes: frozenset[str]
    since: datetime | None = None

    @property
    def owner(self) -> str:
        """The name, and for a later owner of it `since`: no name has an @ of its own."""
        return self.name if self.since is None else f"{self.name}@{self.since.isoformat()}"


class ExpiringCache(Generic[V]):
    """Values with a time of expiry. When there are more than `size`, the oldest is removed."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires = entry
        if self._clock() < expires:
            return value
        del self._entries[key]
        return None

    def put(self, key: bytes, value: V, expires: float) -> None:
        self._entries[key] = (value, expires)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
