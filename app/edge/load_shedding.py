"""Load shedding: requests above a limit are refused at once."""

from typing import Final

from starlette._utils import get_route_path
from starlette.types import Scope

from app.errors import Overloaded
from app.telemetry.request_counters import RequestCounters

PROBES: Final = frozenset({"/livez", "/readyz"})
# They show the state of an overloaded process.
_NEVER_SHED: Final = PROBES | {"/metrics"}


class LoadShedding:
    """The guard that refuses requests while more than `limit` are in flight.

    There is no queue: a queued request would outlast its client's patience, and its work would
    still be done when there is least time for it. A request is not in flight while it waits for
    its body, or clients that send slowly would keep all others out.
    """

    def __init__(self, limit: int, counters: RequestCounters) -> None:
        self.limit = limit
        self._counters = counters

    async def __call__(self, scope: Scope) -> None:
        if self._counters.in_flight > self.limit and get_route_path(scope) not in _NEVER_SHED:
            self.check()

    def check(self) -> None:
        """Errors: Overloaded."""
        if self._counters.in_flight > self.limit:
            self._counters.shed.inc()
            raise Overloaded
