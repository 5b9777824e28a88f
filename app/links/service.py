"""The rules of favorites, reservations and wishes.

Each is one statement; a second one only tells why the first found nothing. A link is written from
the item that the statement finds, so that the item of the answer costs no query of its own.
"""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    delete,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert

from app.accounts.service import JSON as ACCOUNT_JSON
from app.accounts.service import TARGET as ACCOUNT
from app.accounts.service import require_account
from app.errors import (
    AccountHasReservation,
    AccountNotFound,
    ItemAlreadyReserved,
    ItemNotFound,
    NotFound,
    UnknownItem,
)
from app.items.service import JSON as ITEM_JSON
from app.items.service import TARGET as ITEM
from app.items.service import require_item
from app.links.schemas import AccountLink, ItemLink, ItemWish, LinkQuery
from app.models import Account, Favorite, Item, Reservation, Wish
from app.postgres.schema import table_of
from app.postgres.statements import Session, Statements
from app.resources.constraints import conflicts
from app.resources.json_rows import json_object
from app.resources.pages import PARENT_ID, Listing, Page, fetch_page

# xmax is zero in a row that the statement inserted, and not in one that it updated.
_FAVORITE, _WISH = table_of(Favorite).c, table_of(Wish).c
IS_NEW: ColumnElement[bool] = literal_column("xmax = 0").label("is_new")


def _item_link(values: Sequence[Any]) -> ItemLink:
    created = values[len(ITEM.columns)]
    return cast(ItemLink, {"item": ITEM.row(values), "created": created})


def _account_link(values: Sequence[Any]) -> AccountLink:
    created = values[len(ACCOUNT.columns)]
    return cast(AccountLink, {"account": ACCOUNT.row(values), "created": created})


def _item_wish(values: Sequence[Any]) -> ItemWish:
    note, created = values[len(ITEM.columns) :][:2]
    return cast(ItemWish, {"item": ITEM.row(values), "note": note, "created": created})


FAVORITED_BY = Listing(
    "favorited-by",
    select(json_object({"account": ACCOUNT_JSON, "created": _FAVORITE.created}))
    .select_from(Account)
    .join(Account.favorite)
    .where(Favorite.item_id == PARENT_ID),
    sorts={"created": _FAVORITE.created},
    tie=_FAVORITE.account_id,
)
WISHES = Listing(
    "wishes",
    select(json_object({"item": ITEM_JSON, "note": _WISH.note, "created": _WISH.created}))
    .select_from(Item)
    .join(Item.wishes)
    .where(Wish.account_id == PARENT_ID),
    sorts={"created": _WISH.created},
    tie=_WISH.item_id,
)
WISHED_BY = Listing(
    "wished-by",
    select(json_object({"account": ACCOUNT_JSON, "note": _WISH.note, "created": _WISH.created}))
    .select_from(Account)
    .join(Account.wishes)
    .where(Wish.item_id == PARENT_ID),
    sorts={"created": _WISH.created},
    tie=_WISH.account_id,
)


async def retrieve_favorite(session: Session, account_id: UUID) -> ItemLink:
    statement = select(*ITEM.columns, Favorite.created).join(Item.favorites)
    row = await _first(session, statement.where(Favorite.account_id == account_id))
    if row is None:
        await require_account(session, account_id)
        raise NotFound("This account has no favorite.")
    return _item_link(row)


async def put_favorite(session: Session, account_id: UUID, item_id: UUID) -> tuple[ItemLink, bool]:
    """The favorite, and whether it is the account's first."""
    item = _item_to_link(account_id, item_id)
    favorite = insert(Favorite).from_select(["account_id", "item_id"], _ends(item))
    favorite = favorite.on_conflict_do_update(
        index_elements=[Favorite.account_id], set_={"item_id": favorite.excluded.item_id}
    )
    with conflicts(
        {"fk_favorites_account_id": AccountNotFound, "fk_favorites_item_id": UnknownItem}
    ):
        row = await _first(session, _written(item, favorite.returning(Favorite.created, IS_NEW)))
    if row is None:
        raise UnknownItem
    return _item_link(row), row.is_new


async def delete_favorite(session: Session, account_id: UUID) -> None:
    statement = delete(Favorite).where(Favorite.account_id == account_id)
    if await _first(session, statement.returning(Favorite.account_id)) is None:
        await require_account(session, account_id)
        raise NotFound("This account has no favorite.")


async def list_favorited_by(session: Statements, item_id: UUID, query: LinkQuery) -> Page:
    page = await fetch_page(session, FAVORITED_BY, query, item_id)
    if not page.rows:
        await require_item(session, item_id)
    return page


async def retrieve_reservation(session: Session, account_id: UUID) -> ItemLink:
    statement = select(*ITEM.columns, Reservation.created).join(Item.reservation)
    row = await _first(session, statement.where(Reservation.account_id == account_id))
    if row is None:
        await require_account(session, account_id)
        raise NotFound("This account holds no reservation.")
    return _item_link(row)


async def retrieve_item_reservation(session: Session, item_id: UUID) -> AccountLink:
    statement = select(*ACCOUNT.columns, Reservation.created).join(Account.reservation)
    row = await _first(session, statement.where(Reservation.item_id == item_id))
    if row is None:
        await require_item(session, item_id)
        raise NotFound("This item is not reserved.")
    return _account_link(row)


async def put_reservation(
    session: Session, account_id: UUID, item_id: UUID
) -> tuple[ItemLink, bool]:
    """The reservation, and whether it is new. One that the account holds already stays."""
    item = _item_to_link(account_id, item_id)
    # Locked, so that of two requests of one account the later waits for the earlier: it might else
    # meet the item before the account, and take its own reservation for another account's.
    holder = select(Account.id).where(Account.id == account_id).with_for_update(key_share=True)
    ends = select(func.coalesce(holder.scalar_subquery(), item.c.linked_account_id), item.c.id)
    reservation = insert(Reservation).from_select(["account_id", "item_id"], ends)
    # Updated to what it is: only so does the statement return the one that is held.
    reservation = reservation.on_conflict_do_update(
        index_elements=[Reservation.account_id], set_={"item_id": Reservation.item_id}
    )
    returned = reservation.returning(
        Reservation.created, Reservation.item_id.label("held_item_id"), IS_NEW
    )
    with conflicts(
        {
            "uq_reservations_item_id": ItemAlreadyReserved,
            "fk_reservations_account_id": AccountNotFound,
            "fk_reservations_item_id": UnknownItem,
        }
    ):
        row = await _first(session, _written(item, returned))
    if row is None:
        raise UnknownItem
    if row.held_item_id != item_id:
        raise AccountHasReservation
    return _item_link(row), row.is_new


async def delete_reservation(session: Session, account_id: UUID) -> None:
    statement = delete(Reservation).where(Reservation.account_id == account_id)
    if await _first(session, statement.returning(Reservation.account_id)) is None:
        await require_account(session, account_id)
        raise NotFound("This account holds no reservation.")


async def list_wishes(session: Statements, account_id: UUID, query: LinkQuery) -> Page:
    page = await fetch_page(session, WISHES, query, account_id)
    if not page.rows:
        await require_account(session, account_id)
    return page


async def list_wished_by(session: Statements, item_id: UUID, query: LinkQuery) -> Page:
    page = await fetch_page(session, WISHED_BY, query, item_id)
    if not page.rows:
        await require_item(session, item_id)
    return page


async def retrieve_wish(session: Session, account_id: UUID, item_id: UUID) -> ItemWish:
    statement = select(*ITEM.columns, Wish.note, Wish.created).join(Item.wishes)
    row = await _first(
        session, statement.where(Wish.account_id == account_id, Wish.item_id == item_id)
    )
    if row is None:
        await _require_ends(session, account_id, item_id)
        raise NotFound("This account does not wish for this item.")
    return _item_wish(row)


async def put_wish(
    session: Session, account_id: UUID, item_id: UUID, note: str | None
) -> tuple[ItemWish, bool]:
    """The wish, and whether it is new."""
    item = _item_to_link(account_id, item_id)
    ends = _ends(item).add_columns(literal(note, Wish.note.type))
    wish = insert(Wish).from_select(["account_id", "item_id", "note"], ends)
    wish = wish.on_conflict_do_update(
        index_elements=[Wish.account_id, Wish.item_id], set_={"note": wish.excluded.note}
    )
    with conflicts({"fk_wishes_account_id": AccountNotFound, "fk_wishes_item_id": ItemNotFound}):
        row = await _first(session, _written(item, wish.returning(Wish.note, Wish.created, IS_NEW)))
    if row is None:
        await _require_ends(session, account_id, item_id)
        raise ItemNotFound  # it came into being after the statement
    return _item_wish(row), row.is_new


async def delete_wish(session: Session, account_id: UUID, item_id: UUID) -> None:
    statement = delete(Wish).where(Wish.account_id == account_id, Wish.item_id == item_id)
    if await _first(session, statement.returning(Wish.account_id)) is None:
        await _require_ends(session, account_id, item_id)
        raise NotFound("This account does not wish for this item.")


async def _first(session: Session, statement: Any) -> Row[Any] | None:
    row: Row[Any] | None = (await session.execute(statement)).one_or_none()
    return row


async def _require_ends(session: Session, account_id: UUID, item_id: UUID) -> None:
    await require_account(session, account_id)
    await require_item(session, item_id)


def _item_to_link(account_id: UUID, item_id: UUID) -> CTE:
    """The item with the account that is to be linked with it; empty without the item."""
    owner = literal(account_id).label("linked_account_id")
    return select(*ITEM.columns, owner).where(Item.id == item_id).cte("item")


def _ends(item: CTE) -> Select[Any]:
    return select(item.c.linked_account_id, item.c.id)


def _written(item: CTE, link: Any) -> Select[Any]:
    """The item's columns, then what the written link returns."""
    written = link.cte("link")
    columns = [column for column in item.c if column.key != "linked_account_id"]
    return select(*columns, written).join(written, true())
