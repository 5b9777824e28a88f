"""Removes connections from the pool that are closed or no longer usable."""

from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from app.postgres.commits import UnknownOutcome
from app.postgres.failures import is_connection_failure

log = structlog.get_logger("satchel.database")

# Prefixes of SQLSTATEs after which a connection, and all older ones, are unusable: the server shuts
# down, has shut down, or is no longer the primary.
_CONNECTION_LOST: Final = ("08", "25006", "57P")
_ABANDONED: Final = "abandoned"


class Pool(AsyncAdaptedQueuePool):
    """The place of a connection whose commit is abandoned stays taken until the server answers."""

    __module__ = AsyncAdaptedQueuePool.__module__  # of its logger, which has that level

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        info: Any = record.record_info
        driver = info.pop(_ABANDONED, None)
        if driver is None:
            super()._do_return_conn(record)
        else:
            driver.when_answered(partial(super()._do_return_conn, record))


def replace_dead_connections(engine: AsyncEngine) -> None:
    """Never hand out a connection that the server has closed, or that lost a statement."""
    event.listen(engine.sync_engine, "connect", _replace_when_closed)
    event.listen(engine.sync_engine, "handle_error", _discard_after_error)
    event.listen(engine.sync_engine, "invalidate", _remember_abandoned)


def _replace_when_closed(connection: Any, entry: ConnectionPoolEntry) -> None:
    """The driver notices when the server closes an idle connection. So no ping is needed before
    each use, and after a restart of the database no caller gets a dead connection.
    """

    def replace(_driver_connection: object) -> None:
        if entry.dbapi_connection is connection:
            entry.invalidate(soft=True)  # the pool replaces it at the next checkout

    connection.driver_connection.add_termination_listener(replace)


def _discard_after_error(context: ExceptionContext) -> UnknownOutcome | None:
    """SQLAlchemy discards a connection that is closed, and all older ones. Some errors come before
    the connection closes, or leave it open.
    """
    error = context.original_exception
    state = str(getattr(error, "sqlstate", None) or "")
    # A connection that could not be opened is no use either, whatever the server said.
    if context.connection is None or state.startswith(_CONNECTION_LOST):
        context.is_disconnect = True
    elif is_connection_failure(error) or is_connection_failure(error.__cause__):
        # The response is missing or incomplete. If the connection stayed open, its next statement
        # would wait for this one.
        context.is_disconnect = True
        adapted: Any = context.connection.connection.dbapi_connection
        driver = adapted.driver_connection
        if driver.is_abandoned or isinstance(error, UnknownOutcome):
            context.invalidate_pool_on_disconnect = False  # other connections are as good as before
        if driver.is_abandoned:
            log.warning("commit not answered")
            return UnknownOutcome("The server has not answered a write in time.")
        driver.terminate()
    return None


def _remember_abandoned(connection: Any, entry: ConnectionPoolEntry, _error: object) -> None:
    if connection.driver_connection.is_abandoned:
        info: Any = entry.record_info
        info[_ABANDONED] = connection.driver_connection
