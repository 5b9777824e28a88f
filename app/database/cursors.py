"""Cursors: opaque positions in a list, bound to it by a checksum."""

import base64
import binascii
import hashlib
import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from app.errors import InvalidCursor

_CHECKSUM_BYTES = 8


def encode_cursor(value: Any, row_id: UUID, binding: object) -> str:
    """The position behind a row. A checksum, not a secret: it catches accidents, and a forged
    position moves nobody but its forger.
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
