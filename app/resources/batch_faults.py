"""Why the rows of a batch are refused: all faults of one kind together, each at its row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Column, Select, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import (
    Fault,
    FaultCode,
    PreconditionRequired,
    Problem,
    StaleVersion,
)
from app.resources.batch_rows import Values
from app.resources.batches import at_row
from app.resources.preconditions import Precondition
from app.resources.resource import Resource


def refuse(problem: Problem, rows: Iterable[int], fault: Fault | None = None) -> None:
    """Raise the problem with a fault at each of these rows, if there are any.

    fault: by default that of the problem.
    """
    template = fault or problem.errors[0]
    problem.errors = [at_row(row, template) for row in rows]
    if problem.errors:
        raise problem


def require_found(
    resource: Resource[Any], ids: Iterable[UUID], versions: Mapping[UUID, int]
) -> None:
    """Errors: the resource's not_found."""
    problem = resource.not_found()
    unknown = (row for row, row_id in enumerate(ids) if row_id not in versions)
    refuse(problem, unknown, Fault(pointer="/id", code="not_found", detail=str(problem)))


def require_versions(expected: Mapping[UUID, Precondition], versions: Mapping[UUID, int]) -> None:
    """Errors: StaleVersion, PreconditionRequired."""
    rows = list(enumerate(expected.items()))
    stale = (
        row
        for row, (row_id, required) in rows
        if required.versions is not None and versions[row_id] not in required.versions
    )
    about = "Is not the current version."
    refuse(StaleVersion(), stale, Fault(pointer="/version", code="stale", detail=about))
    missing = (row for row, (_, required) in rows if required.missing)
    about = "Is required by this server."
    refuse(
        PreconditionRequired(), missing, Fault(pointer="/version", code="required", detail=about)
    )


async def require_references(
    session: AsyncSession, resource: Resource[Any], rows: Sequence[Values]
) -> None:
    """Errors: those of the resource's references."""
    for name, make_problem in resource.references.items():
        (key,) = resource.table.c[name].foreign_keys
        asked = {
            row: values[name] for row, values in enumerate(rows) if values.get(name) is not None
        }
        known = await _held(session, key.column, asked.values())
        refuse(make_problem(), (row for row, value in asked.items() if value not in known))


async def require_unique(
    session: AsyncSession, resource: Resource[Any], rows: Sequence[Values]
) -> None:
    """Errors: those of the resource's unique columns."""
    for name, make_problem in resource.unique.items():
        asked = [
            (row, values["id"], values[name]) for row, values in enumerate(rows) if name in values
        ]
        column = resource.table.c[name]
        statement = _rows_with(column).add_columns(resource.table.c.id)
        parameters = {"values": [value for _, _, value in asked]}
        holders = await session.execute(statement, parameters)
        found = {holder[0]: holder.id for holder in holders}
        taken = (row for row, row_id, value in asked if found.get(value, row_id) != row_id)
        refuse(make_problem(), taken)


async def require_no_dependents(
    session: AsyncSession, resource: Resource[Any], rows: Sequence[Values]
) -> None:
    """Errors: those of the resource's dependents."""
    ids = [values["id"] for values in rows]
    for name, make_problem in resource.dependents.items():
        kept = await _held(session, _keeping(resource, name), ids)
        problem = make_problem()
        code = cast(FaultCode, problem.code)
        fault = Fault(pointer="/id", code=code, detail=problem.title + ".")
        refuse(problem, (row for row, row_id in enumerate(ids) if row_id in kept), fault)


async def _held(session: AsyncSession, column: Column[Any], values: Collection[Any]) -> set[Any]:
    """Those of the values that the column has."""
    if not values:
        return set()
    found = await session.scalars(_rows_with(column).distinct(), {"values": list(values)})
    return set(found)


@cache
def _rows_with(column: Column[Any]) -> Select[Any]:
    """The column where it has one of the parameter `values`."""
    return select(column).where(column == any_(bindparam("values", type_=ARRAY(column.type))))


@cache
def _keeping(resource: Resource[Any], name: str) -> Column[Any]:
    """The column of the foreign key of this name, which keeps rows of the resource."""
    tables = resource.table.metadata.tables.values()
    keys = (key for table in tables for key in table.foreign_key_constraints)
    key = next(key for key in keys if key.name == name)
    (column,) = key.columns
    return column
