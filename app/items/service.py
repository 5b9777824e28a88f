"""The rules of items; each function is one operation on the session it is given."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, literal
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.accounts.service import ACCOUNTS
from app.errors import ItemNotFound, UnknownAccount
from app.items import search_words
from app.items.schemas import (
    ItemBatchCreate,
    ItemBatchUpdate,
    ItemChange,
    ItemCreate,
    ItemExportQuery,
    ItemQuery,
    ItemRead,
    ItemReplace,
    OwnedItemQuery,
)
from app.models import Item, table_of
from app.postgres.refolding import Folded
from app.resources import batch_writes, inserts, reads, writes
from app.resources.batch_writes import Found
from app.resources.batches import BatchDelete, BatchGetQuery
from app.resources.exports import Export, Format, export_of
from app.resources.filters import Filter, at_least, at_most, equals, starts_with
from app.resources.import_writes import write_upload
from app.resources.imports import Importable, Lookup, Options, Report, Upload
from app.resources.lists import Rows, fetch_rows
from app.resources.preconditions import Precondition
from app.resources.resource import Resource

_C = table_of(Item).c


def _has_words(name: str) -> ColumnElement[bool]:
    """In the form that the index of words serves."""
    both = _C.name_words.concat(_C.description_words)
    return both.bool_op("@@")(bindparam(name, type_=TSQUERY))


ITEMS = Resource(
    Item,
    ItemRead,
    ItemQuery,
    ItemNotFound,
    sorts={"created": _C.created, "updated": _C.updated, "name": _C.name, "price": _C.price},
    filters={
        "account_id": equals(_C.account_id),
        "name": equals(_C.name),
        "name_prefix": starts_with(_C.name),
        "price_gte": at_least(_C.price),
        "price_lte": at_most(_C.price),
        "q": Filter(_has_words, lambda name, text: {name: search_words.query(text)}),
    },
    references={"account_id": UnknownAccount},
)
OWNED = ITEMS.listing_of("account items", _C.account_id)
ITEM_WORDS = Folded(
    table_of(Item),
    sources=["name", "description"],
    fold=search_words.columns,
    pending=_C.name_words == literal(search_words.NOT_MADE, TSVECTOR),
)
DEFAULT_PRICE = Decimal("0.00")


async def list_items(session: AsyncSession, query: ItemQuery) -> Rows:
    return await fetch_rows(session, ITEMS.listing, query)


def export_items(query: ItemExportQuery, text_format: Format) -> Export:
    return export_of(ITEMS, query, text_format)


async def list_account_items(
    session: AsyncSession, account_id: UUID, query: OwnedItemQuery
) -> Rows:
    rows = await fetch_rows(session, OWNED, query, account_id)
    if not rows.text:
        await reads.require(session, ACCOUNTS, account_id)
    return rows


async def batch_get_items(session: AsyncSession, query: BatchGetQuery) -> Found:
    return await batch_writes.find(session, ITEMS, query.id)


async def batch_create_items(session: AsyncSession, batch: ItemBatchCreate) -> Sequence[str]:
    return await batch_writes.create(session, ITEMS, batch.data, _columns)


async def batch_update_items(
    session: AsyncSession, batch: ItemBatchUpdate, *, versions_required: bool
) -> Sequence[str]:
    return await batch_writes.update(
        session, ITEMS, batch.data, _columns, versions_required=versions_required
    )


async def batch_delete_items(
    session: AsyncSession, batch: BatchDelete, *, versions_required: bool
) -> None:
    await batch_writes.delete(session, ITEMS, batch.data, versions_required=versions_required)


async def create_item(session: AsyncSession, body: ItemCreate) -> ItemRead:
    return await inserts.create(session, ITEMS, _columns(body.model_dump()))


async def retrieve_item(session: AsyncSession, item_id: UUID) -> ItemRead:
    return await reads.get(session, ITEMS, item_id)


async def write_item(
    session: AsyncSession,
    item_id: UUID,
    body: ItemReplace | ItemChange,
    precondition: Precondition,
) -> ItemRead:
    """Replace an item, or change the fields that the body names."""
    precondition = body.precondition(item_id, precondition)
    return await writes.update(session, ITEMS, item_id, _columns(body.values()), precondition)


async def delete_item(session: AsyncSession, item_id: UUID, precondition: Precondition) -> None:
    await writes.delete(session, ITEMS, item_id, precondition)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    if "price" in values and values["price"] is None:
        values["price"] = DEFAULT_PRICE
    return values | search_words.columns(values)


ITEM_IMPORT = Importable(
    ITEMS,
    ItemCreate,
    values=_columns,
    derived={"name_words": "name", "description_words": "description"},
    lookups={"account_email": Lookup("account_id", ACCOUNTS.table.c.email_key, emails.search_key)},
)


async def import_items(
    session: AsyncSession, upload: Upload, options: Options, time_limit: float
) -> Report:
    return await write_upload(session, ITEM_IMPORT, upload, options, time_limit)
