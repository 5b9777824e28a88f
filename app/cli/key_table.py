"""The table of keys for `satchel keys list`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from app.cli.times import format_time

_TITLES: Final = ("PREFIX", "NAME", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST USED")


def table_of_keys(keys: Sequence[Row[Any]], now: datetime) -> str:
    """A heading and a line for each key, in columns."""
    lines = [_TITLES, *(_line(key, now) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in padded)


def _line(key: Row[Any], now: datetime) -> tuple[str, ...]:
    times = (format_time(each) for each in (key.created, key.expires, key.last_used))
    return (key.prefix, key.name, key.scope, _state(key, now), *times)


def _state(key: Row[Any], now: datetime) -> str:
    if key.revoked is not None:
        return "revoked"
    if key.expires is not None and key.expires <= now:
        return "expired"
    return "good" if key.rotated is None else "rotated"
