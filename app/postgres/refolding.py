"""Recomputes columns that Python computes from others, when the computation changes.

It runs after the migrations of the schema, in batches that commit. If it is stopped, the next run
goes on with the rows that are left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, ColumnElement, Connection, Table, bindparam, func, select, update

log = structlog.get_logger("satchel.migrations")

BATCH_ROWS: Final = 1000


class RefoldingError(Exception):
    """Two rows would have the same value. The message names both by their ids."""


@dataclass(frozen=True)
class Folded:
    """Columns of a table with an `id`, made from other columns of a row.

    sources: the columns that they are made from.
    fold: makes their values from those of the sources, both by name.
    pending: a condition for the rows that may need other values. With those values it no longer
    holds, so it finds what is left after an interruption.
    unique: the one of them that has no equals among all rows, if there is one.
    """

    table: Table
    sources: Sequence[str]
    fold: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    pending: ColumnElement[bool]
    unique: str | None = None


_Made = Mapping[UUID, Mapping[str, Any]]


def refold(connection: Connection, folded: Folded) -> None:
    """Recompute the columns of all pending rows. Errors: RefoldingError."""
    columns = folded.table.c
    batch = select(columns.id, *(columns[name] for name in folded.sources)).where(folded.pending)
    batch = batch.order_by(columns.id).limit(BATCH_ROWS).with_for_update()
    count, last = 0, UUID(int=0)
    while True:
        with connection.begin():
            rows = connection.execute(batch.where(columns.id > last))
            made = {row.id: folded.fold(row._asdict()) for row in rows}
            if not made:
                return
            if folded.unique is not None:
                _require_unique(connection, folded, folded.unique, made)
            _store(connection, folded.table, made)
        count, last = count + len(made), max(made)
        log.info("rows refolded", table=folded.table.name, rows=count)


def _require_unique(connection: Connection, folded: Folded, unique: str, made: _Made) -> None:
    """Checked before the constraint would refuse it, since that does not name the rows."""
    table, column = folded.table, folded.table.c[unique]
    values = {id_: value[unique] for id_, value in made.items()}
    holders = select(column, table.c.id).where(column.in_(values.values()))
    owners: dict[str, UUID] = dict(connection.execute(holders).all())
    for id_, value in values.items():
        other = owners.setdefault(value, id_)
        if other != id_:
            raise RefoldingError(
                f"{table} {other} and {id_} would have the same {unique}.\n"
                f"Delete one of them or change its {', '.join(folded.sources)}, then migrate again."
            )


def _store(connection: Connection, table: Table, made: _Made) -> None:
    """One statement for all rows: one for each would take longer."""
    names = [*next(iter(made.values()))]
    arrays = [bindparam(f"all_{name}", type_=ARRAY(table.c[name].type)) for name in ("id", *names)]
    new = func.unnest(*arrays).table_valued("id", *names).render_derived(name="new")
    statement = update(table).where(table.c.id == new.c.id)
    statement = statement.values({name: new.c[name] for name in names})
    values = {f"all_{name}": [row[name] for row in made.values()] for name in names}
    connection.execute(statement, {"all_id": list(made), **values})
