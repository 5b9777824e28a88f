"""Inserts rows, those of many requests in one statement."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnCollection,
    ColumnElement,
    Executable,
    Row,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from app.errors import Problem
from app.postgres.coalescing import Coalescer, Outcome
from app.postgres.schema import table_of
from app.postgres.statements import Session, Statements
from app.resources.writes import Target

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Insertion:
    """How the rows of a target are inserted.

    statement: takes an array of values for each of `names`, and returns the target's columns of the
    rows that could be inserted.
    refused: what is wrong with the others.
    in_order: a name. Rows are inserted in its order, so that two statements that insert the same
    ones wait for each other in one direction alone.
    """

    target: Target
    names: Sequence[str]
    statement: Executable
    refused: type[Problem]
    in_order: str


def make_insertion(
    target: Target,
    names: Sequence[str],
    refused: type[Problem],
    *,
    unique: str | None = None,
    where: Callable[[ColumnCollection[str, Any]], ColumnElement[bool]] | None = None,
) -> Insertion:
    """`unique`: a column without equals among all rows. `where`: what must hold of a new one."""
    table = table_of(target.entity)
    names = ("id", *names)
    arrays = [bindparam(name, type_=ARRAY(table.c[name].type)) for name in names]
    new = func.unnest(*arrays).table_valued(*names).render_derived(name="new")
    rows = select(*new.c)
    if where is not None:
        rows = rows.where(where(new.c))
    statement = insert(table).from_select(names, rows)
    if unique is not None:
        statement = statement.on_conflict_do_nothing(index_elements=[unique])
    return Insertion(
        target, names, statement.returning(*target.columns), refused, in_order=unique or "id"
    )


async def insert_row(session: Session, insertion: Insertion, values: Values) -> dict[str, Any]:
    """Insert a row and return it; outside of a transaction together with those of others.

    Errors: the insertion's `refused`.
    """
    values = {"id": uuid7(), **values}
    if isinstance(session, Statements):
        batches = session.gathered.get(insertion)
        if batches is None:
            batches = session.gathered[insertion] = _make_batches(session, insertion)
        row = await batches.ask(values)
    else:
        (row,) = await _insert(session, insertion, [values])
    if row is None:
        raise insertion.refused
    return insertion.target.row(row)


def _make_batches(
    statements: Statements, insertion: Insertion
) -> Coalescer[Values, Row[Any] | None]:
    async def run(batch: Sequence[Values]) -> Sequence[Outcome[Row[Any] | None]]:
        try:
            return await _insert(statements, insertion, batch)
        except DBAPIError as error:
            # If the connection is lost nobody knows what came of it: tried again, a row that was
            # inserted would be refused.
            if len(batch) == 1 or error.connection_invalidated:
                raise
        # One row has failed them all. Alone, each meets its own failure and waits for no other.
        return [asyncio.create_task(alone(values)) for values in batch]

    async def alone(values: Values) -> Row[Any] | None:
        (row,) = await _insert(statements, insertion, [values])
        return row

    return Coalescer(run, statements.on_batch)


async def _insert(
    session: Session, insertion: Insertion, batch: Sequence[Values]
) -> Sequence[Row[Any] | None]:
    """The rows that were inserted; None for one that was refused."""
    ordered = sorted(batch, key=lambda values: values[insertion.in_order])
    arrays = {name: [values[name] for values in ordered] for name in insertion.names}
    inserted = {row.id: row for row in await session.execute(insertion.statement, arrays)}
    return [inserted.get(values["id"]) for values in batch]
