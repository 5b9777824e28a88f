"""Counts the statements of each request, wherever in its course they run."""

from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


class Tally:
    """The statements of one request so far."""

    __slots__ = ("statements",)

    def __init__(self) -> None:
        self.statements = 0


# That of the request under way; None: nobody asked for it.
_current: Final[ContextVar[Tally | None]] = ContextVar("tally", default=None)


def begin_tally() -> Tally:
    """The tally of a request that begins."""
    tally = Tally()
    _current.set(tally)
    return tally


def end_tally() -> None:
    """For a task that works for several requests: what it runs, each of them counts itself."""
    _current.set(None)


def count_statement() -> None:
    tally = _current.get()
    if tally is not None:
        tally.statements += 1


def count_statements(engine: AsyncEngine) -> None:
    """Count what runs on an engine. A listener costs more than a call, where there is one place
    to call from.
    """
    event.listen(engine.sync_engine, "before_cursor_execute", _count)


def _count(*_: Any) -> None:
    count_statement()
