"""Cursors: opaque positions in a list, bound to it by a checksum."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from app.errors import InvalidCursor
from app.resources.canonical import canonical

# Of cursors and their bindings. It must change whenever either is made in another way.
FORMAT = b"\x01"
# Of each of two checksums: of all that follows, and of the position and what it is bound to.
_CHECKSUM_BYTES = 4
_ID_BYTES = 16


def binding_of(*parts: object) -> bytes:
    """What a cursor is valid for: the list, its order, and the values of its filters."""
    return canonical(parts)


def encode_cursor(value: Any, row_id: UUID, binding: bytes) -> str:
    """The position behind a row: a format number, checksums, the row's id, and the value that it is
    sorted by.

    The checksums are not secret: they detect mistakes, and a forged position does no harm.
    """
    text = value.isoformat() if isinstance(value, date) else str(value)
    return seal(row_id.bytes + text.encode(), binding)


def seal(position: bytes, binding: bytes) -> str:
    """A cursor of this position."""
    bound = _checksum(binding + position) + position
    return _spell(FORMAT + _checksum(bound) + bound)


def is_intact(cursor: str) -> bool:
    """Whether a cursor is as it was given out, whatever it is bound to."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        return False
    start = len(FORMAT) + _CHECKSUM_BYTES
    return raw[:start] == FORMAT + _checksum(raw[start:]) and cursor == _spell(raw)


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: str, binding: bytes, value_type: type) -> tuple[Any, UUID]:
    """The position that a cursor holds. Errors: InvalidCursor."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        payload = raw[len(FORMAT) + 2 * _CHECKSUM_BYTES :]
        value = TYPES[value_type](payload[_ID_BYTES:].decode())
        position = value, UUID(bytes=payload[:_ID_BYTES])
        spelled = encode_cursor(*position, binding)
    except (ValueError, InvalidOperation):
        raise InvalidCursor from None
    # Each position has exactly one spelling, and begins with the format number. base64 by itself
    # would accept others too.
    if cursor != spelled:
        raise InvalidCursor
    return position


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()


# A forged value must not reach the database in a form that the database refuses.


def _parse_text(text: str) -> str:
    if "\0" in text:
        raise ValueError
    return text


def _parse_integer(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _parse_decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 15:
        raise ValueError
    return number


def _parse_instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() != timedelta(0):  # at the ends of the calendar, another offset overflows
        raise ValueError
    return instant


# The types of columns that lists may be sorted by.
TYPES: Final[Mapping[type, Callable[[str], Any]]] = {
    str: _parse_text,
    int: _parse_integer,
    Decimal: _parse_decimal,
    date: date.fromisoformat,
    datetime: _parse_instant,
}
