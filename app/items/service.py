"""The rules of items; each function is one operation on the session it is given."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Text, bindparam, exists, select

from app.accounts.service import account_exists, require_account
from app.errors import ItemNotFound, PreconditionRequired, StaleVersion, UnknownAccount
from app.items.schemas import (
    ItemChange,
    ItemCreate,
    ItemQuery,
    ItemRead,
    ItemReplace,
    OwnedItemQuery,
)
from app.models import Account, Item, has_words
from app.postgres.schema import columns_of, table_of
from app.postgres.statements import Session, Statements
from app.resources.constraints import conflicts
from app.resources.filters import Filter, at_least, at_most, equals, less_than, starts_with
from app.resources.inserts import insert_row, make_insertion
from app.resources.json_rows import json_row
from app.resources.pages import PARENT_ID, Listing, Page, fetch_page
from app.resources.reads import Reader, any_id
from app.resources.writes import Precondition, Target, delete_row, update_row

_C = table_of(Item).c
JSON = json_row(Item, ItemRead)
TARGET = Target(Item, columns_of(Item, ItemRead), ItemNotFound)
OWNED_LISTING = Listing(
    "account items",
    select(JSON).select_from(Account).join(Account.items).where(_C.account_id == PARENT_ID),
    sorts={"created": _C.created, "updated": _C.updated, "name": _C.name, "price": _C.price},
    tie=_C.id,
    filters={
        "name": equals(_C.name),
        "name_prefix": starts_with(_C.name),
        "price_gte": at_least(_C.price),
        "price_lte": at_most(_C.price),
        "created_gte": at_least(_C.created),
        "created_lt": less_than(_C.created),
        "updated_gte": at_least(_C.updated),
        "updated_lt": less_than(_C.updated),
        "q": Filter(lambda name: has_words(bindparam(name, type_=Text))),
    },
)
LISTING = replace(
    OWNED_LISTING,
    name="items",
    statement=select(JSON).select_from(table_of(Item)),
    filters={**OWNED_LISTING.filters, "account_id": equals(_C.account_id)},
)
INSERTION = make_insertion(
    TARGET,
    ("account_id", "name", "price", "description", "image_link"),
    UnknownAccount,
    where=lambda new: exists().where(table_of(Account).c.id == new.account_id),
)
# What the reader of items runs.
BY_ID = select(*TARGET.columns).where(any_id(_C.id))
DEFAULT_PRICE = Decimal("0.00")
_CONFLICTS = {"fk_items_account_id": UnknownAccount}


async def list_items(session: Statements, query: ItemQuery) -> Page:
    return await fetch_page(session, LISTING, query)


async def list_account_items(session: Statements, account_id: UUID, query: OwnedItemQuery) -> Page:
    page = await fetch_page(session, OWNED_LISTING, query, account_id)
    if not page.rows:
        await require_account(session, account_id)
    return page


async def create_item(session: Session, body: ItemCreate) -> ItemRead:
    values = _with_price(body.model_dump())
    with conflicts(_CONFLICTS):  # an account may go away while the statement runs
        return cast(ItemRead, await insert_row(session, INSERTION, values))


async def retrieve_item(reader: Reader, item_id: UUID) -> ItemRead:
    row = await reader.get(item_id)
    if row is None:
        raise ItemNotFound
    return cast(ItemRead, TARGET.row(row))


async def require_item(session: Session, item_id: UUID) -> None:
    """Errors: ItemNotFound."""
    if await session.scalar(select(Item.id).where(Item.id == item_id)) is None:
        raise ItemNotFound


async def write_item(
    session: Session,
    item_id: UUID,
    body: ItemReplace | ItemChange,
    precondition: Precondition,
) -> ItemRead:
    """Replace an item, or change the fields that the body names."""
    precondition = body.precondition(item_id, precondition)
    values = _with_price(body.values())
    try:
        with conflicts(_CONFLICTS):
            row = await update_row(session, TARGET, item_id, values, precondition)
    except (ItemNotFound, PreconditionRequired, StaleVersion):
        # A fault of the body is told before one of the item.
        if "account_id" in values and not await account_exists(session, values["account_id"]):
            raise UnknownAccount from None
        raise
    return cast(ItemRead, row)


async def delete_item(session: Session, item_id: UUID, precondition: Precondition) -> None:
    await delete_row(session, TARGET, item_id, precondition)


def _with_price(values: dict[str, Any]) -> dict[str, Any]:
    if "price" in values and values["price"] is None:
        values["price"] = DEFAULT_PRICE
    return values
