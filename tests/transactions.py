"""Watches what a request awaits while it is in a transaction: it may be the database alone."""

import gc
import sysconfig
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from pathlib import Path
from types import AsyncGeneratorType, CodeType, coroutine
from typing import Any, TypeVar

import asyncpg
import httpx
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.orm import Session

from app import postgres

T = TypeVar("T")

# Whatever these await is the database, or a connection to it.
_DATABASE = (*sqlalchemy.__path__, *asyncpg.__path__, *postgres.__path__)
_STANDARD = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
_SITE = sysconfig.get_path("purelib")


class Watch:
    """The transactions that a request has begun, and what it awaited in them."""

    def __init__(self) -> None:
        self.open: set[Session] = set()
        self.others: list[str] = []

    @coroutine
    def __call__(self, awaited: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Its result. Each time that it suspends, note what it waits for."""
        step, value = awaited.send, None
        while True:
            try:
                future = step(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if self.open and not (place := _place(awaited)).startswith(_DATABASE):
                self.others.append(place)
            try:
                step, value = awaited.send, (yield future)
            except BaseException as error:
                step, value = awaited.throw, error


_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)


@event.listens_for(Session, "after_begin")
def _note_begin(session: Session, *_: object) -> None:
    watch = _watch.get()
    if watch is not None:
        watch.open.add(session)


@event.listens_for(Session, "after_transaction_end")
def _note_end(session: Session, transaction: Any) -> None:
    watch = _watch.get()
    if watch is not None and transaction.parent is None:
        watch.open.discard(session)


def _place(awaited: Any) -> str:
    """The innermost code that waits, outside of the standard library."""
    place = ""
    while awaited is not None:
        code, awaited = _code_and_next(awaited)
        if code is not None and not _is_standard(code.co_filename):
            place = f"{code.co_filename}:{code.co_name}"
    return place


def _is_standard(file: str) -> bool:
    """Whether it is of the standard library, or was compiled."""
    if file.startswith(_SITE):
        return False
    return file.startswith(_STANDARD) or not Path(file).is_absolute()


def _code_and_next(awaited: Any) -> tuple[CodeType | None, Any]:
    for prefix, following in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(awaited, f"{prefix}_code"):
            return getattr(awaited, f"{prefix}_code"), getattr(awaited, following)
    # What wraps a coroutine or one step of an asynchronous generator has no attribute for it.
    inner = (each for each in gc.get_referents(awaited) if _can_wait(each))
    return None, next(inner, None)


def _can_wait(awaited: Any) -> bool:
    return isinstance(awaited, (AsyncGeneratorType, Coroutine)) or hasattr(awaited, "gi_yieldfrom")


class WatchingTransport(httpx.ASGITransport):
    """Fails requests that await anything but the database in a transaction."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        watch = Watch()
        token = _watch.set(watch)
        try:
            answer = await watch(super().handle_async_request(request))
        finally:
            _watch.reset(token)
        assert not watch.others, f"awaited in a transaction: {watch.others}"
        return answer
