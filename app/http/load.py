"""How much this process has to do, and what it refuses at once when that is too much."""

from typing import Final

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded

PROBES: Final = frozenset({"/livez", "/readyz"})
# They tell how an overloaded process fares.
_NEVER_SHED: Final = PROBES | {"/metrics"}


class Load:
    """Counts of this process, and the guard that sheds what is over the limit.

    A request too many is told so at once: in a queue it would wait longer than its client, and its
    work would come on top when there is least time for it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.shed = 0
        self.rate_limited = 0

    async def __call__(self, scope: Scope) -> None:
        if self.in_flight > self.limit and get_route_path(scope) not in _NEVER_SHED:
            self.shed += 1
            raise Overloaded


class CountInFlight:
    """Keeps the number of requests under way, from their first guard to the end of their answer."""

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self.app = app
        self.load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.load.in_flight += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.load.in_flight -= 1
