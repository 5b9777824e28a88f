"""Times as an operator says and reads them: `24h`, `90d`, a date, an instant."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST: Final = timedelta(days=36_500)


def parse_duration(said: str) -> timedelta:
    """Errors: ValueError, which names the mend."""
    match = _DURATION.fullmatch(said)
    if match is None:
        raise ValueError(f"{said!r} is no time like 30m, 24h or 90d.")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise ValueError(f"{said!r} is longer than a hundred years.")
    return duration


def parse_expiry(said: str, now: datetime) -> datetime:
    """An instant, a date (its start in UTC), or so long from now. Errors: ValueError."""
    if _DURATION.fullmatch(said):
        return now + parse_duration(said)
    try:
        instant = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError(
            f"{said!r} is no time like 90d, 2030-01-31 or 2030-01-31T12:00:00Z."
        ) from None
    instant = instant.replace(tzinfo=instant.tzinfo or UTC)
    if instant - now > LONGEST:
        raise ValueError(f"{said!r} is more than a hundred years from now.")
    return instant


def shown(instant: datetime | None) -> str:
    """To the minute; `-` where there is none."""
    return "-" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
