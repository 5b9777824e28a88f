"""Trusted proxies: the client's address and scheme from their X-Forwarded-* headers."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


class TrustedProxies(ProxyHeadersMiddleware):
    """Sets `client` and `scheme` of requests from trusted proxies. It is the outermost middleware,
    so that all others see the client.

    After several proxies the client is the last address that is not a trusted proxy: the client
    may have made up whatever stands before it.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        super().__init__(cast(Any, app), networks_of(proxies))


def networks_of(proxies: Sequence[str]) -> list[str]:
    """The networks; those of IPv4 also in the IPv6 form that a dual-stack socket shows."""
    networks: list[str] = []
    for network in map(ip_network, proxies):
        networks.append(str(network))
        if isinstance(network, IPv4Network):
            prefix = 96 + network.prefixlen
            networks.append(str(IPv6Network(f"::ffff:{network.network_address}/{prefix}")))
    return networks
