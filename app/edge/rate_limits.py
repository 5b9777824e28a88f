"""Rate limits: the requests of each principal, or of each address, in a fixed window of time."""

import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from starlette._utils import get_route_path
from starlette.types import Scope

from app.config import Settings, parse_rate_limit
from app.edge.load_shedding import PROBES
from app.edge.middleware import Headers
from app.errors import RateLimited, Unauthenticated

# Windows at once, about 400 bytes each. One more ends the oldest.
CAPACITY: Final = 50_000


class _Window:
    __slots__ = ("count", "end")

    def __init__(self, end: float) -> None:
        self.end = end
        self.count = 0


class RateLimit:
    """The guard that allows each client so many requests in a window of so many seconds.

    A window begins with the first request of a client. All windows have the same length, so they
    end in the order in which they began.
    """

    def __init__(self, requests: int, seconds: int, capacity: int = CAPACITY) -> None:
        self._requests = requests
        self._seconds = seconds
        self._capacity = capacity
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._policy = f'"default";q={requests};w={seconds}'
        self._policy_header = (b"ratelimit-policy", self._policy.encode())

    async def __call__(self, scope: Scope) -> Headers | None:
        if get_route_path(scope) in PROBES:
            return None
        _, state = self._count(_client_of(scope))
        return (self._policy_header, (b"ratelimit", state.encode()))

    @contextmanager
    def counting_refusal(self, scope: Scope) -> Iterator[None]:
        """Counts the request for its address, unless the block finds its credentials good or fails.

        It counts from the start, so that requests that come together are not more than the limit.
        Errors: RateLimited, before the block.
        """
        window, _ = self._count(_address_of(scope))
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            window.count -= 1
            raise
        window.count -= 1

    def _count(self, client: str) -> tuple[_Window, str]:
        """Count a request. Returns its window and the value of `RateLimit`. Errors: RateLimited."""
        now = time.monotonic()
        window = self._window_of(client, now)
        window.count += 1
        seconds = max(1, math.ceil(window.end - now))
        state = f'"default";r={max(0, self._requests - window.count)};t={seconds}'
        if window.count <= self._requests:
            return window, state
        raise RateLimited(seconds, {"RateLimit-Policy": self._policy, "RateLimit": state})

    def _window_of(self, client: str, now: float) -> _Window:
        windows = self._windows
        while windows and next(iter(windows.values())).end <= now:
            windows.popitem(last=False)
        window = windows.get(client)
        if window is None:
            if len(windows) >= self._capacity:
                windows.popitem(last=False)
            window = windows[client] = _Window(now + self._seconds)
        return window


def make_rate_limit(settings: Settings) -> RateLimit | None:
    """The limit that the settings name; None: they name none."""
    if settings.rate_limit is None:
        return None
    return RateLimit(*parse_rate_limit(settings.rate_limit))


def _client_of(scope: Scope) -> str:
    principal = scope["state"].get("principal")
    return _address_of(scope) if principal is None else f"principal {principal}"


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return "unknown" if client is None else network_of(client[0])


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """The address; for IPv6 its network of 64 bits, since a client usually has all of it.

    A socket for both protocols shows an IPv4 client as `::ffff:192.0.2.1`.
    """
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
