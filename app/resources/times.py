"""The field types of dates and instants: what clients may send, and what is returned."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from app.resources.fields import fault

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_INSTANT: Final = re.compile(
    rf"{_DATE.pattern}[Tt ]([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}})(?:\.([0-9]+))?"
    # RFC 3339 has +02:00 only. strftime writes +0200, PostgreSQL +02.
    r"(?:[Zz]|([+-][0-9]{2})(?::?([0-9]{2}))?)"
)
_MAX_LENGTH: Final = 100


def _parse_date(value: Any) -> date:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    match = _DATE.fullmatch(value)
    if match is None:
        raise fault("invalid_format", "Must be a date as YYYY-MM-DD.")
    return _make_date(*match.groups())


def _make_date(*digits: str) -> date:
    year, month, day = map(int, digits)
    if year == 0:
        raise fault("invalid_format", "The year must be from 0001 to 9999.")
    if not 1 <= month <= 12:
        raise fault("invalid_format", "The month must be from 01 to 12.")
    days = monthrange(year, month)[1]
    if not 1 <= day <= days:
        raise fault("invalid_format", f"The day must be from 01 to {days} in this month.")
    return date(year, month, day)


def _parse_instant(value: Any) -> datetime:
    """The instant in UTC, to the microsecond. A leap second is the second after it."""
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > _MAX_LENGTH:
        raise fault("too_long", "Must have at most 100 characters.")
    match = _INSTANT.fullmatch(value)
    if match is None:
        raise fault(
            "invalid_format",
            "Must be an RFC 3339 instant with an offset, such as 2026-01-31T09:30:00Z.",
        )
    day = _make_date(*match.groups()[:3])
    hour, minute, second = map(int, match.groups()[3:6])
    if hour > 23 or minute > 59 or second > 60:
        raise fault("invalid_format", "The time must be from 00:00:00 to 23:59:60.")
    fraction, offset_hours, offset_minutes = match.groups()[6:]
    leap = second == 60
    local = datetime(
        *(day.year, day.month, day.day, hour, minute, second - leap),
        microsecond=int((fraction or "")[:6].ljust(6, "0")),
        tzinfo=_zone(offset_hours or "+00", offset_minutes or "00"),
    )
    try:
        instant = local.astimezone(UTC) + timedelta(seconds=leap)
    except OverflowError:
        raise fault("invalid_format", "Must lie within the years 1 to 9999 in UTC.") from None
    if leap and (instant.day, instant.hour, instant.minute) != (1, 0, 0):
        raise fault("invalid_format", "A second 60 must be the last of a month in UTC.")
    return instant


def _zone(hours: str, minutes: str) -> timezone:
    if int(hours[1:]) > 23 or int(minutes) > 59:
        raise fault("invalid_format", "The offset must be from -23:59 to +23:59.")
    size = timedelta(hours=int(hours[1:]), minutes=int(minutes))
    return timezone(-size if hours.startswith("-") else size)


Date = Annotated[
    date, BeforeValidator(_parse_date), Field(json_schema_extra={"maxLength": len("YYYY-MM-DD")})
]
InstantIn = Annotated[
    datetime,
    BeforeValidator(_parse_instant),
    Field(json_schema_extra={"maxLength": _MAX_LENGTH}),
]


def _format_instant(value: datetime) -> str:
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"


Instant = Annotated[
    datetime,
    PlainSerializer(_format_instant, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-31T09:30:00.000000Z"]}
    ),
]
