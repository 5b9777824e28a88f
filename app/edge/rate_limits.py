"""Rate limits: how many requests each principal, or else each address, may make in a window."""

import math
import time
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette._utils import get_route_path
from starlette.types import Scope

from app.edge.load_shedding import PROBES
from app.edge.middleware import Guard, Headers
from app.errors import Forbidden, RateLimited, Unauthenticated

# Windows kept at once, some 400 bytes each; one more ends the oldest early.
CAPACITY: Final = 50_000


class RateLimit:
    """The guard: counts a request, and refuses it where the window has no room for it."""

    def __init__(self, item: RateLimitItem, capacity: int = CAPACITY) -> None:
        self._item = item
        self._limiter = FixedWindowRateLimiter(Windows(capacity))
        self._policy = f'"default";q={item.amount};w={item.get_expiry()}'
        self._policy_header = (b"ratelimit-policy", self._policy.encode())

    async def __call__(self, scope: Scope) -> Headers | None:
        if get_route_path(scope) in PROBES:
            return None
        key = _key(scope)
        passes = self._limiter.hit(self._item, key)
        reset, remaining = self._limiter.get_window_stats(self._item, key)
        seconds = max(1, math.ceil(reset - time.monotonic()))
        state = f'"default";r={remaining};t={seconds}'
        if passes:
            return (self._policy_header, (b"ratelimit", state.encode()))
        raise RateLimited(seconds, {"RateLimit-Policy": self._policy, "RateLimit": state})


class CountRefused:
    """A guard of credentials whose refusals count as other requests do: for the address, or for the
    principal that lacks a scope.
    """

    def __init__(self, credentials: Guard, limit: RateLimit) -> None:
        self._credentials = credentials
        self._limit = limit

    async def __call__(self, scope: Scope) -> Headers | None:
        try:
            return await self._credentials(scope)
        except (Unauthenticated, Forbidden):
            await self._limit(scope)
            raise


def _key(scope: Scope) -> str:
    principal = scope["state"].get("principal")
    if principal is not None:
        return f"principal {principal}"
    client = scope.get("client")
    return "unknown" if client is None else network_of(client[0])


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """The address, and of IPv6 its network of 64 bits: whoever has one such address has them all.

    A socket for both protocols shows an IPv4 client as `::ffff:192.0.2.1`.
    """
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


class _Window:
    __slots__ = ("count", "end")

    def __init__(self, end: float) -> None:
        self.end = end
        self.count = 0


class Windows(Storage):
    """The windows that have not ended, at most `capacity`, by a clock that nobody sets.

    Not the library's own storage in memory: that has no upper bound, and starts a thread again and
    again that walks through all keys. Since all windows are of the same length, they end in the
    order in which they began, and those that have ended are at the front.
    """

    STORAGE_SCHEME = None

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.monotonic()
        windows = self._windows
        while windows and next(iter(windows.values())).end <= now:
            windows.popitem(last=False)
        window = windows.get(key)
        if window is None:
            if len(windows) >= self._capacity:
                windows.popitem(last=False)
            window = windows[key] = _Window(now + expiry)
        window.count += amount
        return window.count

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return 0 if window is None else window.count

    def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return time.monotonic() if window is None else window.end

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)
