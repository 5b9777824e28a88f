"""Whether a replica is fresh enough to be read.

Again and again the position of the primary in its log is taken. A replica that has replayed it has
whatever was committed before, so it may serve until the lag that is allowed has passed since. This
holds for a connection, not for an address: behind one address there may be several replicas.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import Overloaded
from app.postgres.failures import FAILURES

log = structlog.get_logger("satchel.replicas")

# At least so many positions are taken during the lag that is allowed.
POSITIONS_PER_LAG: Final = 5
# At most from one position to the next, and from one look at a replica to the next.
MAX_INTERVAL_SECONDS: Final = 1.0
# What is logged of replicas changes at most so often.
LOG_INTERVAL_SECONDS: Final = 10.0
# As many positions are kept as are taken during the longest lag that can be allowed.
_MAX_POSITIONS: Final = 4096

# Which database of which cluster.
IDENTITY: Final = (
    "(SELECT system_identifier FROM pg_control_system()) || '/' || current_database() AS identity"
)
# Positions as numbers. What is committed is flushed, except without `synchronous_commit`. The name
# of a file of the log begins with the timeline, which changes when a server becomes the primary.
_POSITION: Final = text(
    "SELECT (CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()"
    " ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint AS position,"
    " left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) AS timeline,"
    " clock_timestamp() AS taken_at, " + IDENTITY
)
# A transaction that has a number is written to the log, also when it has changed nothing.
_COMMIT: Final = text("SELECT pg_current_xact_id()")
_REPLAYED: Final = (
    "SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::bigint,"
    " pg_last_xact_replay_timestamp(), " + IDENTITY
)
# Why a replica may not serve.
NO_REPLICA: Final = "REPLICA_DATABASE_URL leads to a primary"
OTHER_DATABASE: Final = "REPLICA_DATABASE_URL leads to another database than the primary's"
BEHIND: Final = "a replica is behind by more than REPLICA_MAX_LAG"


@dataclass(frozen=True, slots=True)
class _Primary:
    """What the primary is: `since` is when this process met it, by the primary's clock; `met` is
    the same by the monotonic clock.
    """

    timeline: str
    identity: str
    since: datetime
    met: float


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a replica.

    serves_until, valid_until: until when it may serve, and when it is looked at again, by the
    monotonic clock. lag: how many seconds it is behind at most. reason: why it may not serve; None
    if it may, or if that is not known yet.
    """

    valid_until: float
    serves_until: float = -math.inf
    lag: float = math.inf
    reason: str | None = None
    is_of_no_replica: bool = False


class Freshness:
    """The positions of the primary, and what was seen of replicas."""

    def __init__(
        self,
        primary: AsyncEngine,
        max_lag: float,
        on_lag: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        """primary: in AUTOCOMMIT. max_lag: in seconds, as what `on_lag` is called with: how far
        behind the replica is at most that was looked at.
        """
        self._engine = primary
        self._max_lag = max_lag
        self.interval = min(max_lag / POSITIONS_PER_LAG, MAX_INTERVAL_SECONDS)
        self._on_lag = on_lag
        self._primary: _Primary | None = None
        self._needs_commit = False
        # When each position was asked for, and the position.
        self._positions: deque[tuple[float, int]] = deque(maxlen=_MAX_POSITIONS)
        self._looks: WeakKeyDictionary[Any, Look] = WeakKeyDictionary()
        self._failed_until = -math.inf
        self._logged: str | None = "nothing yet"
        self._logged_at = -math.inf

    @property
    def is_possible(self) -> bool:
        """Whether a replica may be fresh enough now, and has not just failed."""
        if not self._positions:
            return False
        return self._failed_until <= time.monotonic() < self._positions[-1][0] + self._max_lag

    async def take_position(self) -> None:
        """Ask the primary for its position. Errors: those of the database."""
        async with self._engine.connect() as connection:
            if self._needs_commit:
                self._needs_commit = False
                await connection.execute(_COMMIT)
            asked = time.monotonic()
            row = (await connection.execute(_POSITION)).one()
            met = self._primary
            if met is None or (met.timeline, met.identity) != (row.timeline, row.identity):
                self._meet(row)
            self._positions.append((asked, row.position))

    def _meet(self, row: Row[Any]) -> None:
        """Forget what was seen before there was this primary."""
        self._primary = _Primary(row.timeline, row.identity, row.taken_at, time.monotonic())
        self._positions.clear()
        self._looks.clear()
        self._needs_commit = True

    async def follow(self) -> None:
        """Take positions for ever."""
        while True:
            began = time.monotonic()
            try:
                await self.take_position()
            except FAILURES as error:
                self._on_lag(math.inf)
                self._log("the primary's position is unknown", error)
            await asyncio.sleep(max(0.0, began + self.interval - time.monotonic()))

    async def is_fresh(self, driver: Any) -> bool:
        """Whether the replica of the driver's connection may serve. Errors: the driver's."""
        look = self._looks.get(driver)
        if look is None or time.monotonic() >= look.valid_until:
            look = await self.look(driver)
            if look.is_of_no_replica:
                driver.terminate()  # the next connection may lead to one
                self._pause()
            self._on_lag(look.lag)
            if look.reason is not None or look.serves_until > -math.inf:
                self._log(look.reason)
        return time.monotonic() < look.serves_until

    async def look(self, driver: Any) -> Look:
        """Look at the replica of the driver's connection. Errors: the driver's."""
        found = await driver.fetchrow(_REPLAYED)
        look = self._looks[driver] = self._concluded(*found)
        return look

    def _concluded(
        self, in_recovery: bool, replayed: int, committed_at: datetime | None, identity: str
    ) -> Look:
        now = time.monotonic()
        again = now + self.interval
        primary = self._primary
        if primary is None:
            return Look(again)
        if identity != primary.identity:
            return Look(again, reason=OTHER_DATABASE, is_of_no_replica=True)
        if not in_recovery:
            return Look(again, reason=NO_REPLICA, is_of_no_replica=True)
        times = (asked for asked, at in reversed(self._positions) if at <= replayed)
        taken = next(times, -math.inf)
        if committed_at is None or committed_at < primary.since:
            # It may have replayed the log of the primary before, whose positions mean nothing now.
            self._needs_commit = self._needs_commit or taken == self._positions[-1][0]
            taken = -math.inf
        lag, serves_until = now - taken, taken + self._max_lag
        if serves_until > now:
            return Look(min(serves_until, now + MAX_INTERVAL_SECONDS), serves_until, lag)
        # At first nobody can tell.
        is_behind = now - primary.met > self._max_lag + MAX_INTERVAL_SECONDS
        return Look(again, lag=lag, reason=BEHIND if is_behind else None)

    def note_failure(self, error: Exception) -> None:
        """Take note of what a replica has failed with. If that was its connection, nobody tries
        another one for a moment, so that not each read begins with an attempt to connect.
        """
        if getattr(error, "connection_invalidated", not isinstance(error, Overloaded)):
            self._pause()
            self._on_lag(math.inf)
        self._log("a replica failed", error)

    def _pause(self) -> None:
        self._failed_until = time.monotonic() + MAX_INTERVAL_SECONDS

    def _log(self, reason: str | None, error: Exception | None = None) -> None:
        """Log why replicas are not read, or None, where that has changed."""
        now = time.monotonic()
        if reason == self._logged or now < self._logged_at + LOG_INTERVAL_SECONDS:
            return
        self._logged, self._logged_at = reason, now
        if reason is None:
            log.info("replicas are read")
        else:
            raised = error.driver_exception if isinstance(error, DBAPIError) else error
            kind = None if raised is None else type(raised).__name__
            log.warning("replicas are not read", reason=reason, error=kind)
