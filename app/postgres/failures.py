"""What goes wrong between us and PostgreSQL, told apart by SQLSTATE: away, busy, or our mistake."""

from typing import Final

from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import DatabaseUnavailable, Overloaded, Problem

# What statements raise. SQLAlchemy wraps the driver's errors, but neither those of the system nor
# those that break off a connection while it is being set up.
FAILURES: Final = (
    DBAPIError,
    PoolTimeoutError,
    OSError,
    PostgresError,
    InterfaceError,
    InternalClientError,
)

# By how the SQLSTATE begins.
_AWAY: Final = (
    "08",  # connection
    "25006",  # read only: a standby, or a primary that has been demoted
    "28",  # it does not let us in
    "3D000",  # no such database
    "53",  # out of connections, disk or memory
    "57P",  # shutting down, crashed, starting up
    "58030",  # its disk fails
)
_BUSY: Final = (
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # a lock was not to be had in time
    "57014",  # the statement ran out of its time
)


def problem_of(error: BaseException) -> Problem | None:
    """What a client is told of this error; None: it is no failure of the database but of ours."""
    if isinstance(error, PoolTimeoutError):
        return Overloaded()
    if isinstance(error, (OSError, InterfaceError, InternalClientError)):
        return DatabaseUnavailable()
    raised, lost = error, False
    if isinstance(error, DBAPIError):
        raised, lost = error.driver_exception, error.connection_invalidated
    state = str(getattr(raised, "sqlstate", None) or "")
    if state.startswith(_BUSY):
        return Overloaded()
    return DatabaseUnavailable() if lost or state.startswith(_AWAY) else None
