"""Engines: how connections to PostgreSQL are made and shared."""

import structlog
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config import Settings

log = structlog.get_logger("satchel.sql")


def make_engine(url: URL, settings: Settings) -> AsyncEngine:
    """The engine of one process; nothing connects before the first statement."""
    return create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=2,
        pool_recycle=1800,
        connect_args={"timeout": 5, "server_settings": {"application_name": "satchel"}},
    )


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """A view of the engine, on the same pool, on which each statement is its own transaction.

    Reads and single-statement writes cost one round trip this way, where BEGIN, the statement and
    COMMIT cost three.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def log_statements(engine: AsyncEngine) -> None:
    """Log each statement, without its values."""
    event.listen(engine.sync_engine, "before_cursor_execute", _log_statement)


def _log_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    log.debug("sql", statement=" ".join(statement.split()))
