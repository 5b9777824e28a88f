"""Reads of rows by id, those of many requests in one statement."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Uuid, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.postgres.coalescing import Coalescer
from app.postgres.sessions import RequestSession, execute_read
from app.postgres.statements import Statements
from app.resources.resource import Read, Resource


async def get(session: AsyncSession, resource: Resource[Read], row_id: UUID) -> Read:
    """The row with this id. Errors: the resource's not_found."""
    return resource.row(await get_row(session, resource, row_id))


async def get_row(session: AsyncSession, resource: Resource[Any], row_id: UUID) -> Row[Any]:
    """The columns of the row with this id. Errors: the resource's not_found.

    Outside of a transaction one statement reads for all requests that ask meanwhile. It starts
    after they came, so each reads what was written before.
    """
    row: Row[Any] | None
    statements = session.autocommit if isinstance(session, RequestSession) else None
    if statements is None:
        (row,) = await _read(session, resource, [row_id])
    else:
        coalescer: Coalescer[UUID, Row[Any] | None] = statements.coalescer(
            ("read", resource), lambda ids: _read(statements, resource, ids), statements.on_read
        )
        row = await coalescer.ask(row_id)
    if row is None:
        raise resource.not_found()
    return row


async def exists(session: AsyncSession, resource: Resource[Any], row_id: UUID) -> bool:
    return bool((await execute_read(session, _id(resource), {"row_id": row_id})).all())


async def require(session: AsyncSession, resource: Resource[Any], row_id: UUID) -> None:
    """Errors: the resource's not_found."""
    if not await exists(session, resource, row_id):
        raise resource.not_found()


async def _read(
    runner: AsyncSession | Statements, resource: Resource[Any], ids: Sequence[UUID]
) -> list[Row[Any] | None]:
    if len(ids) == 1:  # PostgreSQL plans a statement with an array each time
        return [(await runner.execute(_by_id(resource), {"row_id": ids[0]})).one_or_none()]
    once = list(dict.fromkeys(ids))
    found = await runner.execute(_by_ids(resource), {"ids": once})
    rows = {row.id: row for row in found}
    return [rows.get(row_id) for row_id in ids]


@cache
def _by_id(resource: Resource[Any]) -> Select[Any]:
    """The row whose id is the parameter `row_id`."""
    return select(*resource.columns).where(resource.table.c.id == bindparam("row_id"))


@cache
def _id(resource: Resource[Any]) -> Select[Any]:
    return _by_id(resource).with_only_columns(resource.table.c.id)


@cache
def _by_ids(resource: Resource[Any]) -> Select[Any]:
    return select(*resource.columns).where(
        resource.table.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))
    )
