"""The rules of items; each function is one operation on the session it is given."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.service import require_account
from app.database.as_json import json_row
from app.database.constraints import conflicts
from app.database.pages import Listing, Page, fetch_page, starts_with
from app.database.reader import Reader, any_id
from app.database.schema import columns_of, table_of
from app.database.writes import Precondition, Target, delete_row, update_row
from app.errors import ItemNotFound, UnknownAccount
from app.items.schemas import (
    ItemChange,
    ItemCreate,
    ItemQuery,
    ItemRead,
    ItemReplace,
    OwnedItemQuery,
)
from app.models import Account, Item, has_words

JSON = json_row(Item, ItemRead)
TARGET = Target(Item, columns_of(Item, ItemRead), ItemNotFound)
_FILTERS: dict[str, Any] = {
    "name": lambda name: Item.name == name,
    "name_prefix": lambda prefix: starts_with(Item.name, prefix),
    "price_gte": lambda price: Item.price >= price,
    "price_lte": lambda price: Item.price <= price,
    "created_gte": lambda instant: Item.created >= instant,
    "created_lt": lambda instant: Item.created < instant,
    "updated_gte": lambda instant: Item.updated >= instant,
    "updated_lt": lambda instant: Item.updated < instant,
    "q": has_words,
}
OWNED_LISTING = Listing(
    "account items",
    JSON,
    sorts={
        "created": Item.created,
        "updated": Item.updated,
        "name": Item.name,
        "price": Item.price,
    },
    tie=Item.id,
    filters=_FILTERS,
)
LISTING = replace(
    OWNED_LISTING,
    name="items",
    filters={**_FILTERS, "account_id": lambda owner: Item.account_id == owner},
)
_INSERT = insert(table_of(Item)).returning(*TARGET.columns)
# What the reader of items runs.
BY_ID = select(*TARGET.columns).where(any_id(table_of(Item).c.id))
DEFAULT_PRICE = Decimal("0.00")
_CONFLICTS = {"fk_items_account_id": UnknownAccount}


async def list_items(session: AsyncSession, query: ItemQuery) -> Page:
    return await fetch_page(session, LISTING, select(LISTING.json).select_from(Item), query)


async def list_account_items(
    session: AsyncSession, account_id: UUID, query: OwnedItemQuery
) -> Page:
    statement = (
        select(LISTING.json)
        .select_from(Account)
        .join(Account.items)
        .where(Account.id == account_id)
    )
    page = await fetch_page(session, OWNED_LISTING, statement, query, scope=account_id)
    if not page.rows:
        await require_account(session, account_id)
    return page


async def create_item(session: AsyncSession, body: ItemCreate) -> ItemRead:
    values = _with_price(body.model_dump())
    with conflicts(_CONFLICTS):
        result = await session.execute(_INSERT, values)
    return cast(ItemRead, TARGET.row(result.one()))


async def retrieve_item(reader: Reader, item_id: UUID) -> ItemRead:
    row = await reader.get(item_id)
    if row is None:
        raise ItemNotFound
    return cast(ItemRead, TARGET.row(row))


async def require_item(session: AsyncSession, item_id: UUID) -> None:
    """Errors: ItemNotFound."""
    if await session.scalar(select(Item.id).where(Item.id == item_id)) is None:
        raise ItemNotFound


async def write_item(
    session: AsyncSession,
    item_id: UUID,
    body: ItemReplace | ItemChange,
    precondition: Precondition,
) -> ItemRead:
    """Replace an item, or change the fields that the body names."""
    precondition = body.precondition(item_id, precondition)
    with conflicts(_CONFLICTS):
        values = _with_price(body.values())
        row = await update_row(session, TARGET, item_id, values, precondition)
    return cast(ItemRead, row)


async def delete_item(session: AsyncSession, item_id: UUID, precondition: Precondition) -> None:
    await delete_row(session, TARGET, item_id, precondition)


def _with_price(values: dict[str, Any]) -> dict[str, Any]:
    if "price" in values and values["price"] is None:
        values["price"] = DEFAULT_PRICE
    return values
