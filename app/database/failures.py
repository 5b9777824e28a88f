"""What goes wrong between us and PostgreSQL, told apart by SQLSTATE: away, busy, or our mistake."""

from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import DatabaseUnavailable, Overloaded, Problem

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
    if isinstance(error, OSError):  # asyncpg's refused connections and timeouts come unwrapped
        return DatabaseUnavailable()
    if isinstance(error, DBAPIError):
        state = str(getattr(error.driver_exception, "sqlstate", None) or "")
        if state.startswith(_BUSY):
            return Overloaded()
        if error.connection_invalidated or state.startswith(_AWAY):
            return DatabaseUnavailable()
    return None
