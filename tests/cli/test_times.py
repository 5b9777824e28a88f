"""Times as operators write them, and as they read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.cli.times import format_time, parse_duration, parse_expiry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0m", timedelta()),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("90d", timedelta(days=90)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected
    assert parse_expiry(text, NOW) == NOW + expected


@pytest.mark.parametrize("text", ["", "24", "h", "-1d", "1.5h", "1y", "1d ", "999999d", "٣d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a time like 30m|longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (
            "2030-01-31T12:00:00+02:00",
            datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_instants(text: str, expected: datetime) -> None:
    assert parse_expiry(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "2030-02-30"])
def test_other_instants_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time like 90d, 2030-01-31"):
        parse_expiry(text, NOW)


def test_are_formatted_in_utc() -> None:
    assert format_time(None) == "-"
    east = timezone(timedelta(hours=2))
    assert format_time(datetime(2030, 1, 31, 1, 30, 59, tzinfo=east)) == "2030-01-30 23:30Z"


def test_an_instant_too_far_away_is_refused() -> None:
    with pytest.raises(ValueError, match="more than a hundred years"):
        parse_expiry("9999-12-31", NOW)
