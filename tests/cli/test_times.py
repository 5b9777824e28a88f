"""Times as operators write them, and as they read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.cli.times import parse_duration, parse_expiry, shown

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0m", timedelta()),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("90d", timedelta(days=90)),
    ],
)
def test_durations(said: str, expected: timedelta) -> None:
    assert parse_duration(said) == expected
    assert parse_expiry(said, NOW) == NOW + expected


@pytest.mark.parametrize("said", ["", "24", "h", "-1d", "1.5h", "1y", "1d ", "999999d", "٣d"])
def test_what_is_no_duration_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"no time like 30m|longer than"):
        parse_duration(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (
            "2030-01-31T12:00:00+02:00",
            datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_instants(said: str, expected: datetime) -> None:
    assert parse_expiry(said, NOW) == expected


@pytest.mark.parametrize("said", ["", "soon", "2030-02-30"])
def test_what_is_no_instant_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="no time like 90d, 2030-01-31"):
        parse_expiry(said, NOW)


def test_are_shown_in_utc() -> None:
    assert shown(None) == "-"
    east = timezone(timedelta(hours=2))
    assert shown(datetime(2030, 1, 31, 1, 30, 59, tzinfo=east)) == "2030-01-30 23:30Z"


def test_an_instant_in_another_age_is_refused() -> None:
    with pytest.raises(ValueError, match="more than a hundred years"):
        parse_expiry("9999-12-31", NOW)
