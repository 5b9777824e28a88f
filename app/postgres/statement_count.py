"""Counts the SQL statements of each request."""

from contextvars import ContextVar
from typing import Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


class StatementCount:
    """The number of statements of one request so far."""

    __slots__ = ("statements",)

    def __init__(self) -> None:
        self.statements = 0


# The count of the current request; None outside of requests.
_current: Final[ContextVar[StatementCount | None]] = ContextVar("statement_count", default=None)


def start_statement_count() -> StatementCount:
    """Start the count of a request."""
    count = StatementCount()
    _current.set(count)
    return count


def stop_statement_count() -> None:
    """Stop counting in a task that works for several requests: each counts the statement itself."""
    _current.set(None)


def count_statement() -> None:
    count = _current.get()
    if count is not None:
        count.statements += 1


def count_statements(engine: AsyncEngine) -> None:
    """Count all statements of an engine. If all statements run in one place, a call of
    `count_statement` there is cheaper than this listener.
    """
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: count_statement())
