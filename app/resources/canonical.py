"""Values as bytes, which are equal for equal values, however a client wrote them."""

import json
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel


def canonical(value: Any) -> bytes:
    """The bytes of a value that a schema has taken, or of a collection of such values."""
    return _ENCODER.encode(value).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, AbstractSet):
        return sorted(_ENCODER.encode(each) for each in value)
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return str(value)


_ENCODER = json.JSONEncoder(default=_plain, sort_keys=True)
