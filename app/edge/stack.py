"""Builds the stack of middleware and guards in front of the routes from the settings."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.types import Scope

from app.config import Settings
from app.edge.cors import CrossOrigin
from app.edge.foreign_pages import ForeignHosts, ForeignOrigins
from app.edge.load_shedding import LoadShedding
from app.edge.middleware import Guard, Headers, RequestMiddleware
from app.edge.proxies import TrustedProxies
from app.edge.rate_limits import RateLimit
from app.edge.trace_ids import FindTraceId
from app.telemetry.request_counters import RequestCounters


def add_edge(
    app: FastAPI,
    settings: Settings,
    *,
    counters: RequestCounters,
    find_trace_id: FindTraceId,
    credentials: Sequence[Guard] = (),
    limit: RateLimit | None = None,
    on_loopback: bool = False,
) -> None:
    """Add what the settings ask for; `credentials` are the guards that find the principal, and
    `limit` that of `make_rate_limit`, which they know too. `on_loopback`: only this machine can
    reach the server.

    The middleware that is added last is the outermost.
    """
    load = LoadShedding(settings.max_concurrent_requests, counters)
    guards: list[Guard] = [load, *credentials]
    if limit is not None:
        guards.append(limit)
    hosts = None
    if not credentials:
        guards.insert(0, ForeignOrigins(settings.cors_origins))
        if on_loopback:
            hosts = ForeignHosts(settings.allowed_hosts)
            guards.insert(0, hosts)
    if settings.hsts_max_age:
        guards.insert(0, StrictTransport(settings.hsts_max_age))
    app.add_middleware(
        RequestMiddleware,
        max_body_size=settings.max_body_size,
        counters=counters,
        guards=tuple(guards),
        find_trace_id=find_trace_id,
        check_load=load.check,
    )
    if settings.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.cors_origins, hosts=hosts)
    if settings.trusted_proxies:
        app.add_middleware(TrustedProxies, proxies=settings.trusted_proxies)


class StrictTransport:
    """The guard that refuses nothing, and tells browsers to use https for `seconds`.

    Only a trusted proxy can know that the client uses https.
    """

    def __init__(self, seconds: int) -> None:
        self._headers = ((b"strict-transport-security", f"max-age={seconds}".encode()),)

    async def __call__(self, scope: Scope) -> Headers | None:
        return self._headers if scope["scheme"] == "https" else None
