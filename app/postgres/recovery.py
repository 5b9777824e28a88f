"""Removes connections from the pool that are closed or no longer usable."""

from typing import Any, Final

from asyncpg import InternalClientError
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

# Prefixes of SQLSTATEs after which a connection, and all older ones, are unusable: the server shuts
# down, has shut down, or is no longer the primary.
_CONNECTION_LOST: Final = ("08", "25006", "57P")


def replace_dead_connections(engine: AsyncEngine) -> None:
    """Never hand out a connection that the server has closed, or that lost a statement."""
    event.listen(engine.sync_engine, "connect", _replace_when_closed)
    event.listen(engine.sync_engine, "handle_error", _discard_after_error)


def _replace_when_closed(connection: Any, entry: ConnectionPoolEntry) -> None:
    """The driver notices when the server closes an idle connection. So no ping is needed before
    each use, and after a restart of the database no caller gets a dead connection.
    """

    def replace(_driver_connection: object) -> None:
        if entry.dbapi_connection is connection:
            entry.invalidate(soft=True)  # the pool replaces it at the next checkout

    connection.driver_connection.add_termination_listener(replace)


def _discard_after_error(context: ExceptionContext) -> None:
    """SQLAlchemy discards a connection that is closed, and all older ones. Some errors come before
    the connection closes, or leave it open.
    """
    error = context.original_exception
    if str(getattr(error, "sqlstate", None) or "").startswith(_CONNECTION_LOST):
        context.is_disconnect = True
    elif context.connection is not None and (
        isinstance(error, OSError) or isinstance(error.__cause__, InternalClientError)
    ):
        # The response is missing or incomplete. If the connection stayed open, its next statement
        # would wait for this one.
        context.is_disconnect = True
        driver: Any = context.connection.connection.driver_connection
        driver.terminate()
