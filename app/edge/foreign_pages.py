"""Refuses what pages of other sites send through a browser, where requests need no credentials.

A browser lets any page send a form to any address, this machine included. It says where the page
comes from, and whoever is not a browser has no reason to.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final

from starlette.types import Scope

from app.errors import ForeignHost, ForeignOrigin

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# A browser leaves out the port that is usual for the scheme.
_USUAL_PORTS: Final = {"http": "80", "https": "443"}
_LOOPBACK: Final = frozenset({"localhost", "[::1]"})


class ForeignOrigins:
    """The guard that refuses writes from pages that are neither of the host asked nor listed."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed = frozenset(listed)

    async def __call__(self, scope: Scope) -> None:
        """Errors: ForeignOrigin."""
        if scope["method"] in _SAFE:
            return
        origins = _values_of(scope, b"origin")
        if not origins:
            if "cross-site" in _values_of(scope, b"sec-fetch-site"):
                raise ForeignOrigin
        elif "*" not in self._listed:
            hosts = _values_of(scope, b"host")
            for origin in origins:
                if origin not in self._listed and not any(_is_of(origin, host) for host in hosts):
                    raise ForeignOrigin


class ForeignHosts:
    """The guard that refuses requests for names that are not this machine's.

    Only a name that its owner has turned to this machine leads such a request here. To the browser
    it is of the same origin as the owner's page, which could read the response.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = _LOOPBACK.union(allowed)
        # Nearly all requests name the same few hosts.
        self._is_allowed = lru_cache(maxsize=1024)(self._allows)

    def refuses(self, scope: Scope) -> bool:
        return not all(
            self._is_allowed(value) for name, value in scope["headers"] if name == b"host"
        )

    async def __call__(self, scope: Scope) -> None:
        """Errors: ForeignHost."""
        if self.refuses(scope):
            raise ForeignHost

    def _allows(self, host: bytes) -> bool:
        name = _name_of(host.decode("latin-1")).lower()
        if name in self._allowed:
            return True
        try:
            return IPv4Address(name).is_loopback
        except ValueError:
            return False


def _values_of(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_of(origin: str, host: str) -> bool:
    """Whether a page of this origin was served by this host."""
    scheme, _, authority = origin.lower().partition("://")
    port = _USUAL_PORTS.get(scheme)  # none: the page has no origin, or is not of the web
    return port is not None and host.lower() in (authority, f"{authority}:{port}")


def _name_of(host: str) -> str:
    """The host without its port; an address of IPv6 keeps its brackets."""
    name, colon, _ = host.rpartition(":")
    return name if colon and not host.endswith("]") else host
