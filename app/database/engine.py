"""Engines: how connections to PostgreSQL are made and shared."""

import structlog
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config import Settings

log = structlog.get_logger("satchel.sql")


def make_engine(url: URL, settings: Settings, *, autocommit: bool = False) -> AsyncEngine:
    """The engine of one process; nothing connects before the first statement.

    With `autocommit` each statement is a transaction of its own: one round trip, where BEGIN, the
    statement and COMMIT are three. `transactional` makes the view for what needs more.
    """
    return create_async_engine(
        url,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        skip_autocommit_rollback=True,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_recycle=1800,
        hide_parameters=True,  # what clients sent stays out of error messages, and so out of logs
        connect_args={"timeout": 5, "server_settings": {"application_name": "satchel"}},
    )


def transactional(engine: AsyncEngine) -> AsyncEngine:
    """A view of an engine, on the same pool, with ordinary transactions."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def log_statements(engine: AsyncEngine) -> None:
    """Log each statement, without its values."""
    event.listen(engine.sync_engine, "before_cursor_execute", _log_statement)


def _log_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    log.debug("sql", statement=" ".join(statement.split()))
