"""Recomputes a column that Python computes from another one, when the computation changes.

It runs after the migrations of the schema, in batches that commit. If it is stopped, the next run
goes on with the rows that are left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Column, ColumnElement, Connection, bindparam, select, update

log = structlog.get_logger("satchel.migrations")

BATCH_ROWS: Final = 1000


class RefoldingError(Exception):
    """Two rows would have the same value. The message names both by their ids."""


@dataclass(frozen=True)
class Folded:
    """A unique column of a table with an `id`, made from the column `source`.

    `pending` is a condition for the rows that may need another value. With that value it no longer
    holds, so it finds what is left after an interruption.
    """

    column: Column[Any]
    source: Column[Any]
    fold: Callable[[str], str]
    pending: ColumnElement[bool]


def refold(connection: Connection, folded: Folded) -> None:
    """Recompute the column of all pending rows. Errors: RefoldingError."""
    ids = folded.column.table.c.id
    batch = select(ids, folded.source).where(folded.pending).order_by(ids).limit(BATCH_ROWS)
    count, last = 0, UUID(int=0)
    while True:
        with connection.begin():
            rows = connection.execute(batch.where(ids > last).with_for_update()).all()
            made = {id_: folded.fold(source) for id_, source in rows}
            if not made:
                return
            _require_unique(connection, folded, made)
            _store(connection, folded, made)
        count, last = count + len(made), max(made)
        log.info("rows refolded", column=str(folded.column), rows=count)


def _require_unique(connection: Connection, folded: Folded, made: dict[UUID, str]) -> None:
    """Checked before the constraint would refuse it, since that does not name the rows."""
    ids = folded.column.table.c.id
    holders = select(folded.column, ids).where(folded.column.in_(made.values()))
    owners: dict[str, UUID] = dict(connection.execute(holders).all())
    for id_, value in made.items():
        other = owners.setdefault(value, id_)
        if other != id_:
            table, column = folded.column.table.name, folded.column.name
            raise RefoldingError(
                f"{table} {other} and {id_} would have the same {column}.\n"
                f"Delete one of them or change its {folded.source.name}, then migrate again."
            )


def _store(connection: Connection, folded: Folded, made: dict[UUID, str]) -> None:
    table = folded.column.table
    statement = update(table).where(table.c.id == bindparam("of_row"))
    values = [{"of_row": id_, "made": value} for id_, value in made.items()]
    connection.execute(statement.values({folded.column: bindparam("made")}), values)
