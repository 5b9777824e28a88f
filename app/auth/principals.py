"""Principals: who a request comes from and what it may do, remembered for a short while."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

# What each scope includes.
SCOPES: Final = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
# For so long good credentials are not checked again: a revoked key may still work meanwhile.
REMEMBERED_SECONDS: Final = 30.0

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Principal:
    """A name that is fit for logs and no two kinds of credentials share, and all its scopes."""

    name: str
    scopes: frozenset[str]


class Memory(Generic[V]):
    """Values, each for some seconds; of more than `size` the oldest go."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: dict[bytes, tuple[V, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: bytes) -> V | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        value, end = entry
        if self._clock() < end:
            return value
        del self._entries[name]
        return None

    def keep(self, name: bytes, value: V, until: float) -> None:
        self._entries.pop(name, None)
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = (value, until)
