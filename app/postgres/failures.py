"""Maps database errors to problems: unavailable, overloaded, or none (a bug)."""

from typing import Final

from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import (
    DatabaseUnavailable,
    OutcomeUnknown,
    Overloaded,
    Problem,
    TransactionConflict,
)
from app.postgres.commits import UnknownOutcome

# All that a failing database raises. SQLAlchemy wraps the driver's errors, but neither those of the
# operating system nor those during the set-up of a connection.
FAILURES: Final = (
    DBAPIError,
    PoolTimeoutError,
    OSError,
    PostgresError,
    InterfaceError,
    InternalClientError,
)

# Prefixes of SQLSTATEs.
_UNAVAILABLE: Final = (
    "08",  # connection failed
    "25006",  # read-only: a standby, or a demoted primary
    "28",  # authentication refused
    "3D000",  # no such database
    "53",  # out of connections, disk or memory
    "57P",  # shutting down, crashed, starting up
    "58030",  # I/O error
)
_UNKNOWN: Final = "40003"  # distributed engines say this of a commit
_DEADLOCK: Final = "40P01"
_CONFLICTS: Final = ("40001", _DEADLOCK)  # the first is a serialization failure
_OVERLOADED: Final = (
    *_CONFLICTS,
    "55P03",  # lock timeout
    "57014",  # statement timeout
)


def problem_of(error: BaseException) -> Problem | None:
    """The problem that clients get for this error; None if the error is a bug."""
    raised, state = _raised_in(error), _sqlstate_of(error)
    if isinstance(error, PoolTimeoutError) or state.startswith(_OVERLOADED):
        return Overloaded()
    if isinstance(raised, UnknownOutcome) or state == _UNKNOWN:
        return OutcomeUnknown()
    if _is_lost(error) or state.startswith(_UNAVAILABLE) or is_connection_failure(raised):
        return DatabaseUnavailable()
    return None


def is_connection_failure(error: BaseException | None) -> bool:
    """Whether the driver or the operating system raised this, since the server did not answer as it
    should: no SQLSTATE says what happened.
    """
    if isinstance(error, InterfaceError):
        return not isinstance(error, ValueError)  # what the driver was given is wrong
    return isinstance(error, (OSError, InternalClientError))


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction was rolled back because of another one, and may be run again."""
    return isinstance(error, TransactionConflict) or _sqlstate_of(error).startswith(_CONFLICTS)


def may_be_committed(error: BaseException) -> bool:
    """Whether a write that failed so may be committed nevertheless."""
    is_unknown = _is_lost(error) or _sqlstate_of(error) == _UNKNOWN
    return is_unknown or is_connection_failure(_raised_in(error))


def is_deadlock(error: BaseException) -> bool:
    """Whether what waited for each other has ended with the rollback to a savepoint."""
    return _sqlstate_of(error).startswith(_DEADLOCK)


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _raised_in(error: BaseException) -> BaseException:
    return error.driver_exception if isinstance(error, DBAPIError) else error


def is_timeout(error: BaseException) -> bool:
    """Whether the statement took longer than it may."""
    return _sqlstate_of(error) == "57014"


def _sqlstate_of(error: BaseException) -> str:
    return str(getattr(_raised_in(error), "sqlstate", None) or "")
