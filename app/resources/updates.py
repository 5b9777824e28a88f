"""Updates of rows, those of many requests in one statement. Each checks the version and writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ColumnElement,
    Executable,
    Integer,
    Row,
    Uuid,
    all_,
    any_,
    bindparam,
    func,
    or_,
    select,
)
from sqlalchemy import update as sql_update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import ColumnCollectionConstraint
from sqlalchemy.types import TypeEngine

from app.postgres.coalescing import Coalescer
from app.postgres.retries import write_together
from app.postgres.sessions import RequestSession, execute_only_write
from app.postgres.statements import Statements
from app.resources.preconditions import Precondition
from app.resources.resource import Resource


@dataclass(frozen=True, slots=True)
class Change:
    """Values of some columns of a row, to be written where the precondition holds."""

    row_id: UUID
    values: Mapping[str, Any]
    precondition: Precondition


async def update_row(
    session: AsyncSession, resource: Resource[Any], change: Change
) -> Row[Any] | None:
    """Write a row and return it; outside of a transaction together with those of other requests.

    None: there is no such row, the precondition does not hold, or the row has these values already.
    Errors: IntegrityError.
    """
    if (
        isinstance(session, RequestSession)
        and session.autocommit is not None
        and _can_share(resource, change)
    ):
        return await session.write_alone(lambda alone: _update_shared(alone, resource, change))
    result = await execute_only_write(session, *_alone(resource, change))
    return result.one_or_none()


def _can_share(resource: Resource[Any], change: Change) -> bool:
    required = change.precondition
    return (
        not required.excluded
        and (required.versions is None or len(required.versions) == 1)
        and _constrained(resource).isdisjoint(change.values)
    )


@cache
def _constrained(resource: Resource[Any]) -> frozenset[str]:
    """Columns whose values other rows may refuse, which would fail the statement of all."""
    table = resource.table
    indexed = {column for index in table.indexes if index.unique for column in index.columns}
    ruled = {
        column
        for rule in table.constraints
        if isinstance(rule, ColumnCollectionConstraint) and not isinstance(rule, CheckConstraint)
        for column in rule.columns
    }
    return frozenset(column.name for column in indexed | ruled)


async def _update_shared(
    statements: Statements, resource: Resource[Any], change: Change
) -> Row[Any] | None:
    update = partial(_update_together, statements, resource)
    coalescer: Coalescer[Change, Row[Any] | None] = statements.coalescer(
        ("update", resource, frozenset(change.values)),
        partial(write_together, update),
        statements.on_update,
        distinct_by=attrgetter("row_id"),
    )
    return await coalescer.ask(change)


async def _update_together(
    statements: Statements, resource: Resource[Any], batch: Sequence[Change]
) -> Sequence[Row[Any] | None]:
    """The rows that were written; None for one that was not. No two changes are of one row."""
    if len(batch) == 1:
        statement, parameters = _alone(resource, batch[0])
        return [(await statements.execute(statement, parameters)).one_or_none()]
    names = tuple(batch[0].values)
    arrays: dict[str, list[Any]] = {
        "row_id": [change.row_id for change in batch],
        "version": [_version(change) for change in batch],
    }
    for name in names:
        arrays[f"new_{name}"] = [change.values[name] for change in batch]
    result = await statements.execute(_updating(resource, names), arrays)
    updated = {row.id: row for row in result}
    return [updated.get(change.row_id) for change in batch]


def _version(change: Change) -> int | None:
    """The one version that a row must have if its change shares a statement; None: any."""
    (version,) = change.precondition.versions or (None,)
    return version


# Each form of a statement is built once. What differs between requests is a parameter.


@cache
def _updating(resource: Resource[Any], names: tuple[str, ...]) -> Executable:
    """Writes arrays of values.

    The rows are locked in the order of their ids, so that two such statements wait for each other
    in one direction only. PostgreSQL checks the conditions again in the version of a row that it
    has locked, so they hold for the one that is written.
    """
    table = resource.table
    types: dict[str, TypeEngine[Any]] = {
        "row_id": Uuid(),
        "version": Integer(),
        **{f"new_{name}": table.c[name].type for name in names},
    }
    arrays = [bindparam(name, type_=ARRAY(each)) for name, each in types.items()]
    new = func.unnest(*arrays).table_valued(*types).render_derived(name="new")
    locked = (
        select(*new.c)
        .join(table, table.c.id == new.c.row_id)
        .where(
            or_(new.c.version.is_(None), table.c.version == new.c.version),
            differs(table.c, {name: new.c[f"new_{name}"] for name in names}),
        )
        .order_by(table.c.id)
        .with_for_update(key_share=True, of=table)
        .cte("locked")
    )
    return (
        sql_update(table)
        .where(table.c.id == locked.c.row_id)
        .values(written(table.c, {name: locked.c[f"new_{name}"] for name in names}))
        .returning(*resource.columns)
    )


def _alone(resource: Resource[Any], change: Change) -> tuple[Executable, dict[str, Any]]:
    """The statement of a change alone, and its parameters."""
    versions = versions_of(change.precondition)
    new = {f"new_{name}": value for name, value in change.values.items()}
    statement = _update(resource, tuple(change.values), frozenset(versions))
    return statement, {"row_id": change.row_id, **new, **versions}


@cache
def _update(
    resource: Resource[Any], names: tuple[str, ...], conditions: frozenset[str]
) -> Executable:
    table = resource.table
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return (
        sql_update(table)
        .where(*is_met(table.c, conditions), differs(table.c, new))
        .values(written(table.c, new))
        .returning(*resource.columns)
    )


def differs(columns: Any, new: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    return or_(*(columns[name].is_distinct_from(value) for name, value in new.items()))


def written(columns: Any, new: Mapping[str, ColumnElement[Any]]) -> dict[str, Any]:
    return {**new, "version": columns.version + 1, "updated": func.clock_timestamp()}


def versions_of(precondition: Precondition) -> dict[str, Any]:
    """The parameters of a precondition; each is a condition of the statement."""
    named = {"versions": precondition.versions, "excluded": precondition.excluded or None}
    return {name: list(versions) for name, versions in named.items() if versions is not None}


def is_met(columns: Any, conditions: frozenset[str]) -> Iterator[ColumnElement[bool]]:
    """Whether it is the row of the id, and these conditions hold."""
    yield columns.id == bindparam("row_id")
    if "versions" in conditions:
        yield columns.version == any_(bindparam("versions", type_=ARRAY(Integer)))
    if "excluded" in conditions:
        yield columns.version != all_(bindparam("excluded", type_=ARRAY(Integer)))
