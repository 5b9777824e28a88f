"""Conditional writes: the check of the version and the write are one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.database.schema import Resource
from app.errors import PreconditionRequired, Problem, StaleVersion

Columns = Sequence[InstrumentedAttribute[Any]]


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

    def holds_for(self, entity: type[Resource]) -> ColumnElement[bool]:
        if self.versions is None:
            return true()
        # No row has a version beyond the column's type, and the driver would refuse to ask.
        return entity.version.in_([version for version in self.versions if version < 2**31])

    def require(self, version: int) -> None:
        """Errors: PreconditionRequired, StaleVersion."""
        if self.missing:
            raise PreconditionRequired
        if self.versions is not None and version not in self.versions:
            raise StaleVersion(version)


@dataclass(frozen=True, slots=True)
class Target:
    """The row that a write is about: its class, the columns to return, the problem if missing."""

    entity: type[Resource]
    columns: Columns
    not_found: type[Problem]

    def row(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the columns by their names; what follows them is left out."""
        return dict(zip((column.key for column in self.columns), values, strict=False))


async def update_row(
    session: AsyncSession,
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
    entity = target.entity
    if values and not precondition.missing:
        changes = [getattr(entity, name).is_distinct_from(value) for name, value in values.items()]
        statement = (
            update(entity)
            .where(entity.id == row_id, precondition.holds_for(entity), or_(*changes))
            .values(**values, version=entity.version + 1, updated=func.clock_timestamp())
            .returning(*target.columns)
            .execution_options(synchronize_session=False)
        )
        row = (await session.execute(statement)).mappings().one_or_none()
        if row is not None:
            return dict(row)
    found = await _row_left_alone(session, target, row_id, precondition)
    if precondition.versions and any(found.get(k, v) != v for k, v in values.items()):
        # Another write made this the version asked for only after the first statement looked.
        raise StaleVersion(found["version"])
    return found


async def delete_row(
    session: AsyncSession, target: Target, row_id: UUID, precondition: Precondition
) -> None:
    """Delete a row. Errors: the target's not_found, PreconditionRequired, StaleVersion."""
    entity = target.entity
    if not precondition.missing:
        statement = (
            delete(entity)
            .where(entity.id == row_id, precondition.holds_for(entity))
            .returning(entity.id)
            .execution_options(synchronize_session=False)
        )
        if (await session.execute(statement)).one_or_none() is not None:
            return
    found = await _row_left_alone(session, target, row_id, precondition)
    # When the first statement looked, the row was of another version, or not there yet.
    raise StaleVersion(found["version"]) if precondition.versions else target.not_found


async def _row_left_alone(
    session: AsyncSession, target: Target, row_id: UUID, precondition: Precondition
) -> dict[str, Any]:
    statement = select(*target.columns).where(target.entity.id == row_id)
    row = (await session.execute(statement)).mappings().one_or_none()
    if row is None:
        raise target.not_found
    precondition.require(row["version"])
    return dict(row)
