"""Engines: how connections to PostgreSQL are made and shared."""

from typing import Any

import asyncpg
import structlog
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config import Settings
from app.postgres.patience import patience
from app.postgres.recovery import let_go_of_dead

log = structlog.get_logger("satchel.sql")

# Seconds after which a connection is replaced.
RECYCLE = 1800
# Seconds for a connection to be made.
CONNECT_PATIENCE = 2.0
# Seconds more than its own limit for a statement to answer. Then nobody waits for it any longer.
SLACK = 1.0


def make_engine(
    url: URL, settings: Settings, *, autocommit: bool = False, patient: bool = False
) -> AsyncEngine:
    """The engine of one process; nothing connects before the first statement.

    With `autocommit` each statement is a transaction of its own: one round trip, where BEGIN, the
    statement and COMMIT are three. `transactional` makes the view for what needs more.
    A `patient` one has none of the settings' limits: migrations set their own.
    """
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        skip_autocommit_rollback=True,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_recycle=RECYCLE,
        hide_parameters=True,  # what clients sent stays out of error messages, and so out of logs
        connect_args={"timeout": 5} if patient else _limits(settings),
    )
    let_go_of_dead(engine)
    return engine


def _limits(settings: Settings) -> dict[str, Any]:
    """The limits go along when a connection is made, so they cost no request anything.

    Poolers may refuse what they do not know, so a limit of 0 is not sent at all.
    """
    seconds = {
        "statement_timeout": settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout,
    }
    sent = {name: str(round(limit * 1000)) for name, limit in seconds.items() if limit}
    return {
        # The driver's own limit would give up on a server that is well while we are busy.
        "async_creator_fn": _connect,
        "command_timeout": settings.statement_timeout + SLACK
        if settings.statement_timeout
        else None,
        "server_settings": {"application_name": "satchel", **sent},
    }


async def _connect(*args: Any, **options: Any) -> Any:
    async with patience(CONNECT_PATIENCE):
        return await asyncpg.connect(*args, **options)


def transactional(engine: AsyncEngine) -> AsyncEngine:
    """A view of an engine, on the same pool, with ordinary transactions."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def log_statements(engine: AsyncEngine) -> None:
    """Log each statement, without its values."""
    event.listen(engine.sync_engine, "before_cursor_execute", _log_statement)


def _log_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    log.debug("sql", statement=" ".join(statement.split()))
