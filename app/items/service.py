"""The rules of items; each function is one operation on the session it is given."""

from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.constraints import conflicts
from app.database.pages import Order, Page, fetch_page
from app.database.schema import columns_of
from app.database.writes import Precondition, Target, delete_row, update_row
from app.errors import ItemNotFound, UnknownAccount
from app.items.schemas import ItemChange, ItemCreate, ItemQuery, ItemRead, ItemReplace
from app.models import Item

TARGET = Target(Item, columns_of(Item, ItemRead), ItemNotFound)
DEFAULT_PRICE = Decimal("0.00")
_CONFLICTS = {"fk_items_account_id": UnknownAccount}


async def list_items(session: AsyncSession, query: ItemQuery) -> Page:
    order = Order(Item.created, Item.id, descending=True)
    statement = select(*TARGET.columns)
    return await fetch_page(session, statement, query, order, binding="items")


async def create_item(session: AsyncSession, body: ItemCreate) -> ItemRead:
    values = _with_price(body.model_dump())
    with conflicts(_CONFLICTS):
        result = await session.execute(insert(Item).values(values).returning(*TARGET.columns))
    return cast(ItemRead, dict(result.mappings().one()))


async def retrieve_item(session: AsyncSession, item_id: UUID) -> ItemRead:
    result = await session.execute(select(*TARGET.columns).where(Item.id == item_id))
    row = result.mappings().one_or_none()
    if row is None:
        raise ItemNotFound
    return cast(ItemRead, dict(row))


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
