"""Cursors: opaque positions in a list, bound to it by a checksum."""

import base64
import hashlib
import json
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from app.errors import InvalidCursor

_CHECKSUM_BYTES = 8
_ID_BYTES = 16
_BINDING = json.JSONEncoder(default=str, sort_keys=True)


def binding_of(*parts: object) -> bytes:
    """What a cursor is good for: the list, its filters, its order."""
    return _BINDING.encode(parts).encode()


def encode_cursor(value: Any, row_id: UUID, binding: bytes) -> str:
    """The position behind a row: a checksum, the row's id, and what it is sorted by.

    A checksum, not a secret: it catches accidents, and a forged position moves nobody but its
    forger.
    """
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    payload = row_id.bytes + text.encode()
    return base64.urlsafe_b64encode(_checksum(payload, binding) + payload).decode().rstrip("=")


def decode_cursor(cursor: str, binding: bytes, value_type: type) -> tuple[Any, UUID]:
    """The position that a cursor holds. Errors: InvalidCursor."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        payload = raw[_CHECKSUM_BYTES:]
        value = _parse_value(payload[_ID_BYTES:].decode(), value_type)
        position = value, UUID(bytes=payload[:_ID_BYTES])
        spelled = encode_cursor(*position, binding)
    except (ValueError, InvalidOperation):
        raise InvalidCursor from None
    # A position has one spelling, checksum included; base64 alone would take others too.
    if cursor != spelled:
        raise InvalidCursor
    return position


def _checksum(payload: bytes, binding: bytes) -> bytes:
    return hashlib.blake2b(binding + payload, digest_size=_CHECKSUM_BYTES).digest()


def _parse_value(text: str, value_type: type) -> Any:
    """What a forger may write must not reach the database as something it cannot take."""
    if value_type is datetime:
        instant = datetime.fromisoformat(text)
        if instant.utcoffset() != timedelta(0):  # at the ends of time another one overflows
            raise ValueError
        return instant
    if value_type is Decimal:
        number = Decimal(text)
        if not number.is_finite() or abs(number.adjusted()) > 15:
            raise ValueError
        return number
    if "\0" in text:
        raise ValueError
    return text
