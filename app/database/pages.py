"""Keyset pages: the query every list takes, cursors, and the statement of one page.

A page starts where the one before ended (`WHERE (key, id) > (:key, :id) ORDER BY key, id LIMIT n`),
so page 10,000 costs what page 1 costs and rows that come and go meanwhile shift nothing.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from uuid import UUID

from pydantic import MISSING, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import InvalidCursor

_CHECKSUM_BYTES = 8


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise PydanticCustomError("wrong_type", "Must be a whole number.")
    return value


class PageQuery(BaseModel):
    """What every list takes."""

    limit: Annotated[
        int, Field(ge=1, le=200, description="Rows on a page"), BeforeValidator(_digits)
    ] = 50
    cursor: Annotated[
        str | MISSING,
        Field(max_length=2000, description="`next_cursor` of the page before; opaque"),
    ] = MISSING


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the form of the list's read schema, and the cursor to what follows them."""

    rows: Sequence[Mapping[str, Any]]
    next_cursor: str | None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: a column, then the id, both in one direction."""

    column: InstrumentedAttribute[Any]
    id: InstrumentedAttribute[UUID]
    descending: bool

    @property
    def clause(self) -> list[ColumnElement[Any]]:
        keys = (self.column, self.id)
        return [key.desc() if self.descending else key.asc() for key in keys]

    def after(self, value: Any, row_id: UUID) -> ColumnElement[bool]:
        keys = tuple_(self.column, self.id)
        position = tuple_(value, row_id)
        return keys < position if self.descending else keys > position


async def fetch_page(
    session: AsyncSession,
    statement: Select[Any],
    query: PageQuery,
    order: Order,
    binding: object,
) -> Page:
    """One page of `statement`, which must select the order's column and id by their names.

    `binding` is what a cursor is good for: the list, its filters and its sort.
    Errors: InvalidCursor.
    """
    if query.cursor is not MISSING:
        value, row_id = decode_cursor(query.cursor, binding, order.column.type.python_type)
        statement = statement.where(order.after(value, row_id))
    # One row more than asked for tells whether another page follows.
    result = await session.execute(statement.order_by(*order.clause).limit(query.limit + 1))
    rows = [dict(row) for row in result.mappings()]
    if len(rows) <= query.limit:
        return Page(rows, next_cursor=None)
    del rows[-1]
    last = rows[-1]
    return Page(rows, encode_cursor(last[order.column.key], last["id"], binding))


def encode_cursor(value: Any, row_id: UUID, binding: object) -> str:
    """The opaque position behind a row. A checksum, not a secret: it catches accidents, and a
    forged position moves nobody but its forger.
    """
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    payload = json.dumps([text, row_id.hex], ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(payload, binding) + payload).decode().rstrip("=")


def decode_cursor(cursor: str, binding: object, value_type: type) -> tuple[Any, UUID]:
    """The position that a cursor holds. Errors: InvalidCursor."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, payload = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
        if checksum != _checksum(payload, binding):
            raise InvalidCursor
        text, row_id = json.loads(payload)
        return _parse_value(text, value_type), UUID(row_id)
    except (ValueError, TypeError, AttributeError, InvalidOperation, binascii.Error):
        raise InvalidCursor from None


def _checksum(payload: bytes, binding: object) -> bytes:
    bound = json.dumps(binding, default=str, sort_keys=True).encode()
    return hashlib.blake2b(bound + payload, digest_size=_CHECKSUM_BYTES).digest()


def _parse_value(text: str, value_type: type) -> Any:
    """What a forger may write must not reach the database as something it cannot take."""
    if value_type is datetime:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError
        return instant
    if value_type is Decimal:
        number = Decimal(text)
        if not number.is_finite() or abs(number) >= 10**15:
            raise ValueError
        return number
    text.encode()  # a lone surrogate is a ValueError
    if "\0" in text:
        raise ValueError
    return text
