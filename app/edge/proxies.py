"""Trusted proxies: whose word is taken for a client's address and scheme."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


class TrustedProxies(ProxyHeadersMiddleware):
    """Sets `client` and `scheme` of requests that come from a trusted proxy: outermost, so that
    everything else sees the client.

    A request may have come through several: the client is the last address that is no trusted one,
    since whatever stands before it the client may have made up.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        super().__init__(cast(Any, app), networks_of(proxies))


def networks_of(proxies: Sequence[str]) -> list[str]:
    """The networks, those of IPv4 also as a socket for both protocols shows their addresses."""
    found: list[str] = []
    for proxy in proxies:
        network = ip_network(proxy)
        found.append(str(network))
        if isinstance(network, IPv4Network):
            prefix = 96 + network.prefixlen
            found.append(str(IPv6Network(f"::ffff:{network.network_address}/{prefix}")))
    return found
