"""The rules of links: favorites, reservations and wishes.

Each operation is one statement; a second one only finds out why the first found nothing. A link is
written from the item that its statement finds, so that the item costs no query of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.service import ACCOUNTS
from app.errors import (
    AccountHasReservation,
    AccountNotFound,
    ItemAlreadyReserved,
    ItemNotFound,
    NotFound,
    Problem,
    UnknownItem,
)
from app.items.service import ITEMS
from app.links.schemas import ItemLink, ItemWish, LinkQuery
from app.models import Base, Favorite, Reservation, Wish, table_of
from app.postgres.sessions import execute_only_write, execute_read
from app.resources import reads
from app.resources.constraints import conflicts
from app.resources.json_rows import json_object
from app.resources.lists import PARENT_ID, Listing, Rows, fetch_rows
from app.resources.resource import Resource

ENDS: Mapping[str, Resource[Any]] = {"account": ACCOUNTS, "item": ITEMS}
# xmax is zero in a row that the statement inserted, and not in one that it updated.
IS_NEW: ColumnElement[bool] = literal_column("xmax = 0").label("is_new")


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A kind of link between accounts and items.

    missing: the detail of the 404 of a link that is not there, by the end that was asked for.
    key: the columns that identify a link.
    replaced: the columns that a second PUT replaces; without any, the link stays as it is.
    fields: the columns that clients see besides the end.
    """

    model: type[Base]
    missing: Mapping[str, str]
    key: Sequence[str] = ("account_id",)
    replaced: Sequence[str] = ()
    fields: Sequence[str] = ("created",)

    @property
    def table(self) -> Table:
        return table_of(self.model)

    def listing(self, name: str, end: str) -> Listing:
        """The list of the `end`s that are linked with one of the other ends."""
        (other,) = ENDS.keys() - {end}
        resource, table = ENDS[end], self.table
        fields = {field: table.c[field] for field in self.fields}
        return Listing(
            name,
            select(json_object({end: resource.json, **fields}))
            .join_from(resource.table, table, table.c[f"{end}_id"] == resource.table.c.id)
            .where(table.c[f"{other}_id"] == PARENT_ID),
            sorts={"created": table.c.created},
            tie=table.c[f"{end}_id"],
        )


FAVORITES = Link(Favorite, {"item": "This account has no favorite."}, replaced=("item_id",))
RESERVATIONS = Link(
    Reservation,
    {"item": "This account holds no reservation.", "account": "This item is not reserved."},
)
WISHES = Link(
    Wish,
    {"item": "This account does not wish for this item."},
    key=("account_id", "item_id"),
    replaced=("note",),
    fields=("note", "created"),
)
FAVORITED_BY = FAVORITES.listing("favorited-by", "account")
WISHED_ITEMS = WISHES.listing("wishes", "item")
WISHED_BY = WISHES.listing("wished-by", "account")


async def retrieve(session: AsyncSession, link: Link, end: str, **ids: UUID) -> Any:
    """The link of these ids, with its `end`. Errors: NotFound, and those of the ids."""
    row = (await execute_read(session, _select(link, end, tuple(ids)), ids)).one_or_none()
    if row is None:
        await _require(session, ids)
        raise NotFound(link.missing[end])
    return _with_end(link, end, row)


async def remove(session: AsyncSession, link: Link, **ids: UUID) -> None:
    """Delete the link of these ids. Errors: as `retrieve`."""
    result = await execute_only_write(session, _delete(link, tuple(ids)), ids)
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


async def put_favorite(
    session: AsyncSession, account_id: UUID, item_id: UUID
) -> tuple[ItemLink, bool]:
    """The favorite, and whether it is the account's first."""
    row = await _put(session, FAVORITES, UnknownItem, account_id=account_id, item_id=item_id)
    if row is None:
        raise UnknownItem
    return _with_end(FAVORITES, "item", row), row.is_new


async def put_reservation(
    session: AsyncSession, account_id: UUID, item_id: UUID
) -> tuple[ItemLink, bool]:
    """The reservation, and whether it is new. One that the account holds already stays."""
    row = await _put(session, RESERVATIONS, UnknownItem, account_id=account_id, item_id=item_id)
    if row is None:
        raise UnknownItem
    if row.linked_item_id != item_id:
        raise AccountHasReservation
    return _with_end(RESERVATIONS, "item", row), row.is_new


async def put_wish(
    session: AsyncSession, account_id: UUID, item_id: UUID, note: str | None
) -> tuple[ItemWish, bool]:
    """The wish, and whether it is new."""
    ids = {"account_id": account_id, "item_id": item_id}
    row = await _put(session, WISHES, ItemNotFound, **ids, note=note)
    if row is None:
        await _require(session, ids)
        raise ItemNotFound  # it was created after the statement
    return cast(ItemWish, _with_end(WISHES, "item", row)), row.is_new


async def _put(session: AsyncSession, link: Link, no_item: type[Problem], **values: Any) -> Any:
    """The item and the link; None: there is no such item."""
    problems: dict[str, Callable[[], Problem]] = {
        f"fk_{link.table.name}_account_id": AccountNotFound,
        f"fk_{link.table.name}_item_id": no_item,
        "uq_reservations_item_id": ItemAlreadyReserved,
    }
    with conflicts(problems):
        return (await execute_only_write(session, _upsert(link), values)).one_or_none()


async def _require(session: AsyncSession, ids: Mapping[str, UUID]) -> None:
    for name, row_id in ids.items():
        await reads.require(session, ENDS[name.removesuffix("_id")], row_id)


def _with_end(link: Link, end: str, row: Sequence[Any]) -> Any:
    names = link.fields
    values = row[len(ENDS[end].columns) :]
    return {end: ENDS[end].row(row), **dict(zip(names, values, strict=False))}


# Each form of a statement is built once.


@cache
def _select(link: Link, end: str, names: tuple[str, ...]) -> Executable:
    resource, table = ENDS[end], link.table
    return (
        select(*resource.columns, *(table.c[field] for field in link.fields))
        .join(table, table.c[f"{end}_id"] == resource.table.c.id)
        .where(*_equal(table, names))
    )


@cache
def _delete(link: Link, names: tuple[str, ...]) -> Executable:
    return delete(link.table).where(*_equal(link.table, names)).returning(link.table.c.account_id)


@cache
def _upsert(link: Link) -> Executable:
    """The columns of the item, the fields of the link, its item, and whether it is new."""
    table, items = link.table, ITEMS.table
    account_id = bindparam("account_id", type_=Uuid)
    item = (
        select(*ITEMS.columns, account_id.label("linked_account_id"))
        .where(items.c.id == bindparam("item_id", type_=Uuid))
        .cte("item")
    )
    owner: ColumnElement[Any] = item.c.linked_account_id
    if not link.replaced:
        # Locked, so that the later of two requests of one account waits for the earlier one.
        # Otherwise it might meet the item before the account, and take its own reservation for
        # that of another account.
        accounts = ACCOUNTS.table
        holder = select(accounts.c.id).where(accounts.c.id == account_id)
        holder = holder.with_for_update(key_share=True)
        owner = func.coalesce(holder.scalar_subquery(), owner)
    names, ends = ["account_id", "item_id"], select(owner, item.c.id)
    if "note" in link.fields:
        names, ends = [*names, "note"], ends.add_columns(bindparam("note", type_=Text))
    insertion = insert(table).from_select(names, ends)
    # If nothing is replaced, the item is set to itself, since only updated rows are returned.
    new = {name: insertion.excluded[name] for name in link.replaced}
    upsert = insertion.on_conflict_do_update(
        index_elements=link.key, set_=new or {"item_id": table.c.item_id}
    )
    written = upsert.returning(
        *(table.c[field] for field in link.fields), table.c.item_id.label("linked_item_id"), IS_NEW
    ).cte("link")
    columns = [column for column in item.c if column.key != "linked_account_id"]
    return select(*columns, written).join(written, true())


def _equal(table: Table, names: Sequence[str]) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(name, type_=Uuid) for name in names]
