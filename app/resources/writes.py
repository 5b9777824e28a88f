"""Conditional writes: the check of the version and the write are one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Executable,
    Integer,
    Select,
    any_,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    update,
)

from app.errors import PreconditionRequired, Problem, StaleVersion
from app.postgres.schema import Resource, table_of
from app.postgres.statements import Session


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of a row before it is written.

    versions: those it may have; None: any.
    missing: a condition is required here and none was given.
    """

    versions: frozenset[int] | None = None
    missing: bool = False

    def narrowed_to(self, version: int) -> Self:
        versions = frozenset({version})
        return type(self)(versions if self.versions is None else self.versions & versions)

    def require(self, version: int) -> None:
        """Errors: PreconditionRequired, StaleVersion."""
        if self.missing:
            raise PreconditionRequired
        if self.versions is not None and version not in self.versions:
            raise StaleVersion(version)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The row that a write is about: its class, the columns to return, the problem if missing."""

    entity: type[Resource]
    columns: Sequence[Column[Any]]
    not_found: type[Problem]
    names: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(column.key for column in self.columns))

    def row(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the columns by their names; what follows them is left out."""
        return dict(zip(self.names, values, strict=False))


async def update_row(
    session: Session,
    target: Target,
    row_id: UUID,
    values: Mapping[str, Any],
    precondition: Precondition,
) -> dict[str, Any]:
    """Write `values` into a row and return it.

    One statement; a second one only where it found nothing to write, to tell why. A row that holds
    these values already is left alone, its version and `updated` too.
    Errors: the target's not_found, PreconditionRequired, StaleVersion.
    """
    if values and not precondition.missing:
        statement = _update(target, tuple(values), precondition.versions is None)
        parameters = {f"new_{name}": value for name, value in values.items()}
        result = await session.execute(statement, parameters | _key(row_id, precondition))
        if (row := result.one_or_none()) is not None:
            return target.row(row)
    found = await _row_left_alone(session, target, row_id, precondition)
    if precondition.versions and any(found.get(k, v) != v for k, v in values.items()):
        # Another write made this the version asked for only after the first statement looked.
        raise StaleVersion(found["version"])
    return found


async def delete_row(
    session: Session, target: Target, row_id: UUID, precondition: Precondition
) -> None:
    """Delete a row. Errors: the target's not_found, PreconditionRequired, StaleVersion."""
    if not precondition.missing:
        statement = _delete(target, precondition.versions is None)
        result = await session.execute(statement, _key(row_id, precondition))
        if result.one_or_none() is not None:
            return
    found = await _row_left_alone(session, target, row_id, precondition)
    # When the first statement looked, the row was of another version, or not there yet.
    raise StaleVersion(found["version"]) if precondition.versions else target.not_found


async def _row_left_alone(
    session: Session, target: Target, row_id: UUID, precondition: Precondition
) -> dict[str, Any]:
    row = (await session.execute(_select(target), {"row_id": row_id})).one_or_none()
    if row is None:
        raise target.not_found
    found = target.row(row)
    precondition.require(found["version"])
    return found


# Statements are made once for each form that they can have; what differs from request to request
# goes in as parameters.


@cache
def _update(target: Target, names: tuple[str, ...], any_version: bool) -> Executable:
    table = table_of(target.entity)
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    changes = [table.c[name].is_distinct_from(value) for name, value in new.items()]
    return (
        update(table)
        .where(*_is_met(table.c, any_version), or_(*changes))
        .values(**new, version=table.c.version + 1, updated=func.clock_timestamp())
        .returning(*target.columns)
    )


@cache
def _delete(target: Target, any_version: bool) -> Executable:
    table = table_of(target.entity)
    return delete(table).where(*_is_met(table.c, any_version)).returning(table.c.id)


@cache
def _select(target: Target) -> Select[Any]:
    return select(*target.columns).where(table_of(target.entity).c.id == bindparam("row_id"))


def _is_met(columns: Any, any_version: bool) -> Sequence[ColumnElement[bool]]:
    versions = bindparam("versions", type_=ARRAY(Integer))
    return (
        columns.id == bindparam("row_id"),
        true() if any_version else columns.version == any_(versions),
    )


def _key(row_id: UUID, precondition: Precondition) -> dict[str, Any]:
    if precondition.versions is None:
        return {"row_id": row_id}
    return {"row_id": row_id, "versions": list(precondition.versions)}
