"""Reads rows by id, those of many requests in one statement.

While a statement is under way, the ids that are asked for meanwhile gather, and go out together in
the next one. Under load a batch of 20 costs little more than a single row, on both ends of the
connection. A lone caller waits for nobody, and a statement always starts after its callers came, so
each reads what was written before.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, ColumnElement, Row, Select, Uuid, any_, bindparam

from app.database.statements import Statements
from app.database.tally import count_statement, end_tally

MAX_BATCH = 100
MAX_IN_FLIGHT = 2


def any_id(column: Column[UUID]) -> ColumnElement[bool]:
    """The condition of a reader's statement."""
    return column == any_(bindparam("ids", type_=ARRAY(Uuid)))


class Reader:
    """Rows of one statement, which selects those whose id is any of `ids`, the id first."""

    def __init__(
        self,
        statements: Statements,
        statement: Select[Any],
        on_batch: Callable[[int], object] = int,
    ) -> None:
        self._statements = statements
        self._statement = statement
        self._on_batch = on_batch  # told how many rows each statement asks for
        # Callers have a future each, so that one that goes away takes no other along.
        self._waiting: defaultdict[UUID, list[asyncio.Future[Row[Any] | None]]] = defaultdict(list)
        self._in_flight: set[asyncio.Task[None]] = set()
        # Of the first caller that waits: a statement belongs to the trace of one of its callers.
        self._context: Context | None = None

    async def get(self, row_id: UUID) -> Row[Any] | None:
        """The row with this id; None: there is none. Errors: those of its statement."""
        future: asyncio.Future[Row[Any] | None] = asyncio.get_running_loop().create_future()
        self._waiting[row_id].append(future)
        count_statement()
        if self._context is None:
            self._context = copy_context()
        self._start()
        return await future

    def _start(self) -> None:
        if not self._waiting or len(self._in_flight) >= MAX_IN_FLIGHT:
            return
        ids = list(islice(self._waiting, MAX_BATCH))
        self._on_batch(len(ids))
        batch = {row_id: self._waiting.pop(row_id) for row_id in ids}
        task = asyncio.create_task(self._run(batch), context=self._context)
        self._context = None
        self._in_flight.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._start()

    async def _run(self, batch: dict[UUID, list[asyncio.Future[Row[Any] | None]]]) -> None:
        end_tally()
        try:
            found = await self._statements.execute(self._statement, {"ids": list(batch)})
            rows = {row[0]: row for row in found}
        except Exception as error:  # each caller raises it
            for future in (future for futures in batch.values() for future in futures):
                if not future.done():
                    future.set_exception(error)
            return
        for row_id, futures in batch.items():
            for future in futures:
                if not future.done():
                    future.set_result(rows.get(row_id))
