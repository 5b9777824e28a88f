"""Reads rows by id, those of many requests in one statement."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, ColumnElement, Row, Select, Uuid, any_, bindparam

from app.postgres.coalescing import Coalescer
from app.postgres.statements import Statements


def any_id(column: Column[UUID]) -> ColumnElement[bool]:
    """The condition of a reader's statement."""
    return column == any_(bindparam("ids", type_=ARRAY(Uuid)))


class Reader:
    """Rows of one statement, which selects those whose id is any of `ids`, the id first.

    It starts after its callers came, so each reads what was written before.
    """

    def __init__(
        self,
        statements: Statements,
        statement: Select[Any],
        on_batch: Callable[[int], object] = int,
    ) -> None:
        self._statements = statements
        self._statement = statement
        self._batches = Coalescer(self._read, on_batch)

    async def get(self, row_id: UUID) -> Row[Any] | None:
        """The row with this id; None: there is none. Errors: those of its statement."""
        return await self._batches.ask(row_id)

    async def _read(self, ids: Sequence[UUID]) -> Sequence[Row[Any] | None]:
        once = list(dict.fromkeys(ids))
        rows = {
            row[0]: row for row in await self._statements.execute(self._statement, {"ids": once})
        }
        return [rows.get(row_id) for row_id in ids]
