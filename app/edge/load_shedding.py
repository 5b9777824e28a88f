"""How much this process has to do, and what it refuses at once when that is too much."""

from typing import Final

from starlette._utils import get_route_path
from starlette.types import Scope

from app.edge.middleware import Meter
from app.errors import Overloaded

PROBES: Final = frozenset({"/livez", "/readyz"})
# They tell how an overloaded process fares.
_NEVER_SHED: Final = PROBES | {"/metrics"}


class Load:
    """The guard that sheds what is over the limit.

    A request too many is told so at once: in a queue it would wait longer than its client, and its
    work would come on top when there is least time for it.
    """

    def __init__(self, limit: int, meter: Meter) -> None:
        self.limit = limit
        self._meter = meter

    async def __call__(self, scope: Scope) -> None:
        if self._meter.in_flight > self.limit and get_route_path(scope) not in _NEVER_SHED:
            self._meter.count_shed()
            raise Overloaded
