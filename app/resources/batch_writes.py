"""Reads and writes of the rows of a batch: one statement for each kind of work.

They run in the session's transaction, so that whatever raises undoes all of them. Rows are given
back as JSON texts. What is wrong with a batch is found out only after a statement has failed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Executable,
    Result,
    Row,
    Select,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    select,
)
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine
from uuid_utils.compat import uuid7

from app.errors import Problem, TransactionConflict
from app.postgres.sessions import execute_read
from app.resources import batch_faults
from app.resources.batch_rows import BatchRows, Values
from app.resources.batches import BatchChange, RowVersion, precondition_of
from app.resources.constraints import violated
from app.resources.preconditions import Precondition
from app.resources.resource import Resource
from app.resources.updates import differs, written

Columns = Callable[[dict[str, Any]], Values]


@dataclass(frozen=True, slots=True)
class Found:
    """The rows with some ids as JSON texts, and the ids that no row has."""

    rows: Sequence[str]
    missing: Sequence[UUID]


async def find(session: AsyncSession, resource: Resource[Any], ids: Sequence[UUID]) -> Found:
    """The rows in the order of their ids, each once."""
    once = list(dict.fromkeys(ids))
    texts = _texts(await execute_read(session, _by_ids(resource), {"ids": once}))
    found = [texts[row_id] for row_id in once if row_id in texts]
    return Found(found, [row_id for row_id in once if row_id not in texts])


async def create(
    session: AsyncSession, resource: Resource[Any], rows: Sequence[BaseModel], columns: Columns
) -> Sequence[str]:
    """Insert rows.

    columns: the columns of a row from its fields.
    Errors: those of the resource's references and unique columns.
    """
    new = [(uuid7(), row) for row in rows]
    made = BatchRows(new, lambda row: {"id": row[0], **columns(row[1].model_dump())})

    async def insert(part: Sequence[Values]) -> Result[Any]:
        names = tuple(part[0])
        # In one order everywhere, so that batches with equal values wait in one direction only.
        ordered = sorted(part, key=itemgetter(*resource.unique, "id"))
        arrays = {name: [values[name] for values in ordered] for name in names}
        return await session.execute(_inserting(resource, names), arrays)

    await made.prepare()
    texts = await _write(session, resource, made, insert)
    return [texts[row_id] for row_id, _ in new]


async def update(
    session: AsyncSession,
    resource: Resource[Any],
    changes: Sequence[BatchChange],
    columns: Columns,
    *,
    versions_required: bool,
) -> Sequence[str]:
    """Write the fields that each change names into its row; no two changes are of one row.

    columns: the columns of these fields. A row that has its values already stays as it is.
    Errors: the resource's not_found, StaleVersion, PreconditionRequired, and those of the
    resource's references and unique columns.
    """
    made = BatchRows(changes, lambda change: {"id": change.id, **columns(change.values())})
    expected = _expected(changes, versions_required=versions_required)

    async def write(part: Sequence[Values]) -> Iterable[Row[Any]]:
        if _exchange(resource, part, found):
            await _explain(session, resource, made)
        given = {name for values in part for name in values} - {"id"}
        if not given:
            return ()
        names = tuple(column.name for column in resource.table.c if column.name in given)
        arrays = {"row_id": [values["id"] for values in part]}
        for name in names:
            arrays[f"new_{name}"] = [values.get(name) for values in part]
            arrays[f"has_{name}"] = [name in values for values in part]
        return await session.execute(_updating(resource, names), arrays)

    await made.prepare()
    try:
        found = await _lock(session, resource, expected)
    except Problem:
        # A fault of the body takes precedence over a problem of a row.
        await batch_faults.require_references(session, resource, await made.keys(resource))
        raise
    texts = _texts(found.values()) | await _write(session, resource, made, write)
    return [texts[row_id] for row_id in expected]


async def delete(
    session: AsyncSession,
    resource: Resource[Any],
    rows: Sequence[RowVersion],
    *,
    versions_required: bool,
    first: Callable[[Sequence[UUID]], Awaitable[None]] | None = None,
) -> None:
    """Delete rows.

    first: awaited with their ids once they are locked.
    Errors: the resource's not_found, StaleVersion, PreconditionRequired, and those of the
    resource's dependents.
    """
    expected = _expected(rows, versions_required=versions_required)
    ids = list(expected)
    await _lock(session, resource, expected)
    if first is not None:
        await first(ids)
    made = BatchRows(ids, lambda row_id: {"id": row_id})
    await made.prepare()
    await _write(
        session, resource, made, lambda _: session.execute(_deleting(resource), {"ids": ids})
    )


def _expected(
    rows: Sequence[RowVersion | BatchChange], *, versions_required: bool
) -> dict[UUID, Precondition]:
    """What must hold for each row, by its id."""
    return {row.id: precondition_of(row, version_required=versions_required) for row in rows}


async def _lock(
    session: AsyncSession, resource: Resource[Any], expected: Mapping[UUID, Precondition]
) -> Mapping[UUID, Row[Any]]:
    """Lock rows until the transaction ends, and return them by their ids.

    Errors: the resource's not_found, StaleVersion, PreconditionRequired.
    """
    result = await session.execute(_locking(resource), {"ids": list(expected)})
    found = {row.id: row for row in result}
    versions = {row_id: row.version for row_id, row in found.items()}
    batch_faults.require_found(resource, expected, versions)
    batch_faults.require_versions(expected, versions)
    return found


def _exchange(
    resource: Resource[Any], rows: Sequence[Values], found: Mapping[UUID, Row[Any]]
) -> bool:
    """Whether a row is to have a unique value that another row of the batch has now.

    Whether PostgreSQL would take that depends on which of them it writes first.
    """
    for name in resource.unique:
        holders = {getattr(row, name): row_id for row_id, row in found.items()}
        if any(holders.get(row.get(name), row["id"]) != row["id"] for row in rows):
            return True
    return False


async def _write(
    session: AsyncSession,
    resource: Resource[Any],
    rows: BatchRows[Any],
    write: Callable[[Sequence[Values]], Awaitable[Iterable[Row[Any]]]],
) -> dict[UUID, str]:
    """Write all rows, and return them. If one is refused, find out all that are."""
    written: dict[UUID, str] = {}
    try:
        async with session.begin_nested():
            while part := await rows.take():
                written |= _texts(await write(part))
    except IntegrityError as error:
        if violated(error) not in resource.problems:
            raise
        await _explain(session, resource, rows)
        # What refused a row has gone meanwhile, or has come since the snapshot.
        raise TransactionConflict from error
    return written


async def _explain(session: AsyncSession, resource: Resource[Any], rows: BatchRows[Any]) -> None:
    """Raise the problem of all rows that a constraint refuses, those of the body first."""
    keys = await rows.keys(resource)
    await batch_faults.require_references(session, resource, keys)
    await batch_faults.require_unique(session, resource, keys)
    await batch_faults.require_no_dependents(session, resource, keys)


def _texts(rows: Any) -> dict[UUID, str]:
    return {row.id: row.text for row in rows}


# Each form of a statement is built once. What differs between requests is a parameter.


def _columns(resource: Resource[Any]) -> tuple[ColumnElement[Any], ...]:
    return resource.table.c.id, resource.json.label("text")


def _is_any(resource: Resource[Any]) -> ColumnElement[bool]:
    return resource.table.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))


@cache
def _by_ids(resource: Resource[Any]) -> Select[Any]:
    return select(*_columns(resource)).where(_is_any(resource))


@cache
def _locking(resource: Resource[Any]) -> Select[Any]:
    """Locks rows in the order of their ids, as every statement that locks many rows does."""
    table = resource.table
    unique = (table.c[name] for name in resource.unique)
    return (
        select(*_columns(resource), table.c.version, *unique)
        .where(_is_any(resource))
        .order_by(table.c.id)
        .with_for_update()
    )


@cache
def _inserting(resource: Resource[Any], names: tuple[str, ...]) -> Executable:
    new = _unnested({name: resource.table.c[name].type for name in names})
    return insert(resource.table).from_select(names, select(*new.c)).returning(*_columns(resource))


@cache
def _updating(resource: Resource[Any], names: tuple[str, ...]) -> Executable:
    """Writes arrays of values, those that a row has."""
    columns = resource.table.c
    types: dict[str, TypeEngine[Any]] = {"row_id": Uuid()}
    types |= {f"new_{name}": columns[name].type for name in names}
    types |= {f"has_{name}": Boolean() for name in names}
    new = _unnested(types)
    values = {
        name: case((new.c[f"has_{name}"], new.c[f"new_{name}"]), else_=columns[name])
        for name in names
    }
    return (
        sql_update(resource.table)
        .where(columns.id == new.c.row_id, differs(columns, values))
        .values(written(columns, values))
        .returning(*_columns(resource))
    )


@cache
def _deleting(resource: Resource[Any]) -> Executable:
    return sql_delete(resource.table).where(_is_any(resource)).returning(*_columns(resource))


def _unnested(types: Mapping[str, TypeEngine[Any]]) -> Any:
    """The rows of the parameters of these names, each an array of this type."""
    arrays = [bindparam(name, type_=ARRAY(each)) for name, each in types.items()]
    return func.unnest(*arrays).table_valued(*types).render_derived(name="new")
