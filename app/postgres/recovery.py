"""What makes a pool let go of connections that are no good any more, and when."""

from typing import Any, Final

from asyncpg import InternalClientError
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

# After these a connection, and any that is as old, is of no use: the server leaves or has left, or
# is no primary any more. By how the SQLSTATE begins.
_PARTING: Final = ("08", "25006", "57P")


def let_go_of_dead(engine: AsyncEngine) -> None:
    """Give no connection out that the server has closed, nor one that lost a statement."""
    event.listen(engine.sync_engine, "connect", _replace_when_closed)
    event.listen(engine.sync_engine, "handle_error", _break_off)


def _replace_when_closed(connection: Any, entry: ConnectionPoolEntry) -> None:
    """The driver hears of the end of an idle connection, too: no question to the server is needed
    before each use, and after its restart nobody is given a dead connection.
    """

    def replace(_driver_connection: object) -> None:
        if entry.dbapi_connection is connection:
            entry.invalidate(soft=True)  # replaced when it is asked for

    connection.driver_connection.add_termination_listener(replace)


def _break_off(context: ExceptionContext) -> None:
    """SQLAlchemy takes a connection for lost that is closed, and forgets all that are as old.

    Some errors come before the closing, or without one.
    """
    error = context.original_exception
    if str(getattr(error, "sqlstate", None) or "").startswith(_PARTING):
        context.is_disconnect = True
    elif context.connection is not None and (
        isinstance(error, OSError) or isinstance(error.__cause__, InternalClientError)
    ):
        # No answer came, or not all of it. Without an end to the connection its next statement
        # would wait for this one.
        context.is_disconnect = True
        driver: Any = context.connection.connection.driver_connection
        driver.terminate()
