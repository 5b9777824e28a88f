"""The rules of links: favorites, reservations and wishes.

Each operation is one statement; a second one only finds out why the first found nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Result
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import (
    AccountHasReservation,
    AccountNotFound,
    ItemAlreadyReserved,
    ItemNotFound,
    NotFound,
    Problem,
    StaleVersion,
    TransactionConflict,
    UnknownItem,
)
from app.links.kinds import ENDS, FAVORITES, RESERVATIONS, WISHES, Link
from app.links.schemas import ItemLink, ItemWish, LinkQuery
from app.links.statements import delete_link, put_link, select_link
from app.postgres.retries import retry
from app.postgres.sessions import RequestSession, execute_only_write, execute_read
from app.resources import reads
from app.resources.constraints import conflicts
from app.resources.lists import Listing, Rows, fetch_rows


async def retrieve(session: AsyncSession, link: Link, end: str, **ids: UUID) -> Any:
    """The link of these ids, with its `end`. Errors: NotFound, and those of the ids."""
    row = (await execute_read(session, select_link(link, end, tuple(ids)), ids)).one_or_none()
    if row is None:
        await _require(session, ids)
        raise NotFound(link.missing[end])
    return _with_end(link, end, row)


async def remove(session: AsyncSession, link: Link, absence: bool, **ids: UUID) -> None:
    """Delete the link of these ids. Errors: as `retrieve`; StaleVersion if `absence` is required
    of a link that is there.
    """
    if absence:
        await retrieve(session, link, "item", **ids)
        raise StaleVersion
    result = await execute_only_write(session, delete_link(link, tuple(ids)), ids)
    if result.one_or_none() is None:
        await _require(session, ids)
        raise NotFound(link.missing["item"])


async def fetch_list(
    session: AsyncSession, listing: Listing, query: LinkQuery, **parent: UUID
) -> Rows:
    """A page of a list of links. Errors: InvalidCursor, and that of the parent's id."""
    (parent_id,) = parent.values()
    rows = await fetch_rows(session, listing, query, parent_id)
    if not rows.text:
        await _require(session, parent)
    return rows


# Each of these raises StaleVersion if `absence` is required of a link that is there.


async def put_favorite(
    session: AsyncSession, account_id: UUID, item_id: UUID, *, absence: bool = False
) -> tuple[ItemLink, bool]:
    """The favorite, and whether it is the account's first."""
    ids = {"account_id": account_id, "item_id": item_id}
    row = await _put(session, FAVORITES, UnknownItem, absence, **ids)
    if row is None:
        raise UnknownItem
    return _with_end(FAVORITES, "item", row), row.is_new


async def put_reservation(
    session: AsyncSession, account_id: UUID, item_id: UUID, *, absence: bool = False
) -> tuple[ItemLink, bool]:
    """The reservation, and whether it is new. One that the account holds already stays."""
    ids = {"account_id": account_id, "item_id": item_id}
    row = await _put(session, RESERVATIONS, UnknownItem, absence, **ids)
    if row is None:
        raise UnknownItem
    if row.linked_item_id != item_id:
        raise AccountHasReservation
    return _with_end(RESERVATIONS, "item", row), row.is_new


async def put_wish(
    session: AsyncSession,
    account_id: UUID,
    item_id: UUID,
    note: str | None,
    *,
    absence: bool = False,
) -> tuple[ItemWish, bool]:
    """The wish, and whether it is new."""
    ids = {"account_id": account_id, "item_id": item_id}
    row = await _put(session, WISHES, ItemNotFound, absence, **ids, note=note)
    if row is None:
        await _require(session, ids)
        raise ItemNotFound  # it was created after the statement
    return cast(ItemWish, _with_end(WISHES, "item", row)), row.is_new


async def _put(
    session: AsyncSession, link: Link, no_item: type[Problem], absence: bool, **values: Any
) -> Any:
    """The item and the link; None: there is no such item."""
    problems: dict[str, Callable[[], Problem]] = {
        f"fk_{link.table.name}_account_id": AccountNotFound,
        f"fk_{link.table.name}_item_id": no_item,
        "uq_reservations_item_id": ItemAlreadyReserved,
    }
    statement = put_link(link, absence)
    new = {f"new_{name}": value for name, value in values.items()}

    async def put(execute: Callable[..., Awaitable[Result[Any]]]) -> Any:
        row = (await execute(statement, new)).one_or_none()
        if row is not None and row.is_new is None:
            raise StaleVersion if absence else TransactionConflict
        return row

    with conflicts(problems):
        if isinstance(session, RequestSession) and session.autocommit is not None:
            return await session.write_alone(
                lambda alone: retry(partial(put, partial(alone.execute, writes=True)), _is_unseen)
            )
        return await put(session.execute)


def _is_unseen(error: Exception) -> bool:
    """Whether the link was made after the statement began, which does not see it."""
    return isinstance(error, TransactionConflict)


async def _require(session: AsyncSession, ids: Mapping[str, UUID]) -> None:
    for name, row_id in ids.items():
        await reads.require(session, ENDS[name.removesuffix("_id")], row_id)


def _with_end(link: Link, end: str, row: Sequence[Any]) -> Any:
    names = link.fields
    values = row[len(ENDS[end].columns) :]
    return {end: ENDS[end].row(row), **dict(zip(names, values, strict=False))}
