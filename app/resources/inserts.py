"""Inserts of rows, those of many requests in one statement."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import ARRAY, Executable, Row, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.postgres.coalescing import Coalescer
from app.postgres.retries import write_together
from app.postgres.sessions import RequestSession
from app.postgres.statements import Statements
from app.resources.constraints import conflicts
from app.resources.resource import Read, Resource

Values = Mapping[str, Any]


async def create(session: AsyncSession, resource: Resource[Read], values: Values) -> Read:
    """Insert a row and return it; outside of a transaction together with those of other requests.

    values: of all columns but those that the system sets.
    Errors: those of the resource's unique columns and references.
    """
    new = {"id": uuid7(), **values}
    with conflicts(resource.problems):
        if isinstance(session, RequestSession) and session.autocommit is not None:
            row = await session.write_alone(lambda alone: _insert_shared(alone, resource, new))
        else:
            (inserted,) = await _insert(session, resource, [new])
            row = inserted or await _insert_alone(session, resource, new)
    return resource.row(row)


async def _insert_shared(statements: Statements, resource: Resource[Any], new: Values) -> Row[Any]:
    insert = partial(_insert, statements, resource)
    coalescer: Coalescer[Values, Row[Any] | None] = statements.coalescer(
        ("insert", resource, frozenset(new)),
        partial(write_together, insert),
        statements.on_insert,
    )
    return await coalescer.ask(new) or await _insert_alone(statements, resource, new)


async def _insert(
    runner: AsyncSession | Statements, resource: Resource[Any], batch: Sequence[Values]
) -> Sequence[Row[Any] | None]:
    """The rows that were inserted; None for one that was refused."""
    if len(batch) == 1:
        (values,) = batch
        statement = _inserting(resource, tuple(values), is_batch=False)
        return [(await runner.execute(statement, values)).one_or_none()]
    # Inserted in one order everywhere, so that two statements with the same unique values wait for
    # each other in one direction only.
    order = (*resource.unique, "id")
    ordered = sorted(batch, key=lambda values: tuple(values[name] for name in order))
    names = tuple(ordered[0])
    arrays = {name: [values[name] for values in ordered] for name in names}
    result = await runner.execute(_inserting(resource, names, is_batch=True), arrays)
    inserted = {row.id: row for row in result}
    return [inserted.get(values["id"]) for values in batch]


async def _insert_alone(
    runner: AsyncSession | Statements, resource: Resource[Any], values: Values
) -> Row[Any]:
    """Raises the problem of a refused row. Errors: IntegrityError, which names the constraint."""
    if len(problems := {*resource.unique.values(), *resource.references.values()}) == 1:
        (make_problem,) = problems
        raise make_problem()
    # The row may also be inserted now, if the conflicting row was deleted meanwhile.
    return (await runner.execute(_inserting_alone(resource, tuple(values)), values)).one()


@cache
def _inserting(resource: Resource[Any], names: tuple[str, ...], *, is_batch: bool) -> Executable:
    """Inserts values, or arrays of them, without the rows that a unique column or a reference
    refuses.
    """
    columns = resource.table.c
    new: Any
    if is_batch:
        arrays = [bindparam(name, type_=ARRAY(columns[name].type)) for name in names]
        new = func.unnest(*arrays).table_valued(*names).render_derived(name="new").c
    else:
        new = {name: bindparam(name, type_=columns[name].type) for name in names}
    rows = select(*(new[name] for name in names))
    for name in resource.references:
        (key,) = columns[name].foreign_keys
        known = exists().where(key.column == new[name])
        rows = rows.where(or_(new[name].is_(None), known) if columns[name].nullable else known)
    statement = insert(resource.table).from_select(names, rows)
    if resource.unique:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(*resource.columns)


@cache
def _inserting_alone(resource: Resource[Any], names: tuple[str, ...]) -> Executable:
    values = {name: bindparam(name, type_=resource.table.c[name].type) for name in names}
    return insert(resource.table).values(values).returning(*resource.columns)
