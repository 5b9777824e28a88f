"""Conditional writes: one statement checks the version and writes."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, Select, bindparam, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Problem, StaleVersion
from app.postgres.sessions import execute_only_write, execute_read
from app.resources.constraints import conflicts
from app.resources.preconditions import Precondition
from app.resources.reads import get_row
from app.resources.resource import Read, Resource
from app.resources.updates import Change, is_met, update_row, versions_of


async def update(
    session: AsyncSession,
    resource: Resource[Read],
    row_id: UUID,
    values: Mapping[str, Any],
    precondition: Precondition,
) -> Read:
    """Write `values` into a row and return it.

    One statement; a second one only where it found nothing to write, to find out why. A row that
    has these values already stays as it is, its version and `updated` too.
    Errors: PreconditionRequired, StaleVersion, the resource's not_found and those of its unique
    columns and references.
    """
    if values and precondition.can_hold:
        with conflicts(resource.problems):
            row = await update_row(session, resource, Change(row_id, values, precondition))
        if row is not None:
            return resource.row(row)
    try:
        found = await _unchanged(session, resource, row_id, precondition)
        current = dict(zip(resource.names, found, strict=True))
        changes = any(current.get(name, value) != value for name, value in values.items())
        if changes and not precondition.is_none:
            # Another write created a version that may be written after the first statement.
            raise StaleVersion(found.version)
    except Problem:
        # A fault of the body takes precedence over a problem of the row.
        await _require_references(session, resource, values)
        raise
    return resource.row(found)


async def delete(
    session: AsyncSession, resource: Resource[Any], row_id: UUID, precondition: Precondition
) -> None:
    """Delete a row.

    Errors: PreconditionRequired, StaleVersion, the resource's not_found and its dependents'.
    """
    if precondition.can_hold:
        versions = versions_of(precondition)
        statement, parameters = _delete(resource, frozenset(versions)), {"row_id": row_id}
        with conflicts(resource.problems):
            result = await execute_only_write(session, statement, parameters | versions)
        if result.one_or_none() is not None:
            return
    found = await _unchanged(session, resource, row_id, precondition)
    # At the first statement the row had another version, or was not there yet.
    raise resource.not_found() if precondition.is_none else StaleVersion(found.version)


async def _unchanged(
    session: AsyncSession, resource: Resource[Any], row_id: UUID, precondition: Precondition
) -> Row[Any]:
    """The row that was not written. Errors: its not_found, PreconditionRequired, StaleVersion."""
    row = await get_row(session, resource, row_id)
    precondition.require(row.version)
    return row


async def _require_references(
    session: AsyncSession, resource: Resource[Any], values: Mapping[str, Any]
) -> None:
    for name, problem in resource.references.items():
        if values.get(name) is not None:
            parameters = {"row_id": values[name]}
            if (
                await execute_read(session, _referenced(resource, name), parameters)
            ).first() is None:
                raise problem()


# Each form of a statement is built once. What differs between requests is a parameter.


@cache
def _delete(resource: Resource[Any], conditions: frozenset[str]) -> Executable:
    table = resource.table
    return sql_delete(table).where(*is_met(table.c, conditions)).returning(table.c.id)


@cache
def _referenced(resource: Resource[Any], name: str) -> Select[Any]:
    (key,) = resource.table.c[name].foreign_keys
    return select(key.column).where(key.column == bindparam("row_id"))
