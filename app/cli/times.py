"""Parses and formats times for operators: `24h`, `90d`, a date, an instant."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST: Final = timedelta(days=36_500)


def parse_duration(value: str) -> timedelta:
    """Parse 30m, 24h or 90d. Errors: ValueError."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a time like 30m, 24h or 90d.")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise ValueError(f"{value!r} is longer than a hundred years.")
    return duration


def parse_expiry(value: str, now: datetime) -> datetime:
    """Parse an instant, a date (its start in UTC) or a duration from now. Errors: ValueError."""
    if _DURATION.fullmatch(value):
        return now + parse_duration(value)
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is not a time like 90d, 2030-01-31 or 2030-01-31T12:00:00Z."
        ) from None
    instant = instant.replace(tzinfo=instant.tzinfo or UTC)
    if instant - now > LONGEST:
        raise ValueError(f"{value!r} is more than a hundred years from now.")
    return instant


def format_time(instant: datetime | None) -> str:
    """The time to the minute; `-` for None."""
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
