"""Dates and instants are those of RFC 3339; a fault says what is wrong with others."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.resources.times import Date, InstantIn

DATE: TypeAdapter[date] = TypeAdapter(Date)
INSTANT: TypeAdapter[datetime] = TypeAdapter(InstantIn)


def detail_of(adapter: TypeAdapter[Any], value: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(value)
    (error,) = raised.value.errors()
    return error["type"], error["msg"]


class TestDates:
    @given(st.dates())
    def test_are_taken(self, day: date) -> None:
        assert DATE.validate_python(day.isoformat()) == day

    @pytest.mark.parametrize(
        ("value", "detail"),
        [
            ("1990-5-17", "Must be a date as YYYY-MM-DD."),
            ("1990-05-17\n", "Must be a date as YYYY-MM-DD."),
            ("\u0661990-05-17", "Must be a date as YYYY-MM-DD."),
            ("0000-05-17", "The year must be from 0001 to 9999."),
            ("1990-00-17", "The month must be from 01 to 12."),
            ("1990-13-17", "The month must be from 01 to 12."),
            ("1990-05-00", "The day must be from 01 to 31 in this month."),
            ("1990-04-31", "The day must be from 01 to 30 in this month."),
            ("1900-02-29", "The day must be from 01 to 28 in this month."),
            ("2000-02-30", "The day must be from 01 to 29 in this month."),
        ],
    )
    def test_others_are_told_what_is_wrong(self, value: str, detail: str) -> None:
        assert detail_of(DATE, value) == ("invalid_format", detail)


class TestInstants:
    @given(st.datetimes(timezones=st.timezones()))
    def test_are_taken_with_any_offset(self, instant: datetime) -> None:
        try:
            utc = instant.astimezone(UTC)
        except OverflowError:
            return
        text = utc.isoformat()
        assert INSTANT.validate_python(text) == utc
        if len(instant.isoformat()[19:].rpartition("+")[2]) == len("00:00"):
            assert INSTANT.validate_python(instant.isoformat()) == utc

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2026-01-31t09:30:00z", "2026-01-31T09:30:00"),
            ("2026-01-31 09:30:00-00:00", "2026-01-31T09:30:00"),
            ("2026-01-31T09:30:00+23:59", "2026-01-30T09:31:00"),
            ("2026-01-31T09:30:00-23:59", "2026-02-01T09:29:00"),
            ("2026-01-31T09:30:00+0000", "2026-01-31T09:30:00"),
            ("2026-01-31T09:30:00.25-0330", "2026-01-31T13:00:00.250000"),
            ("2026-01-31 09:30:00+00", "2026-01-31T09:30:00"),
            ("2026-01-31T09:30:00-08", "2026-01-31T17:30:00"),
            ("2026-01-31T09:30:00.1Z", "2026-01-31T09:30:00.100000"),
            ("2026-01-31T09:30:00.123456999Z", "2026-01-31T09:30:00.123456"),
            ("2026-01-31T09:30:00." + "9" * 79 + "Z", "2026-01-31T09:30:00.999999"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
            ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000"),
            ("2017-01-01T08:59:60+09:00", "2017-01-01T00:00:00"),
            ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00"),
        ],
    )
    def test_offsets_fractions_and_leap_seconds(self, text: str, instant: str) -> None:
        assert INSTANT.validate_python(text) == datetime.fromisoformat(f"{instant}+00:00")

    @pytest.mark.parametrize(
        ("value", "detail"),
        [
            ("2026-02-30T09:30:00Z", "The day must be from 01 to 28 in this month."),
            ("2026-01-31T24:00:00Z", "The time must be from 00:00:00 to 23:59:60."),
            ("2026-01-31T09:60:00Z", "The time must be from 00:00:00 to 23:59:60."),
            ("2026-01-31T09:30:61Z", "The time must be from 00:00:00 to 23:59:60."),
            ("2026-01-31T09:30:00+24:00", "The offset must be from -23:59 to +23:59."),
            ("2026-01-31T09:30:00-00:60", "The offset must be from -23:59 to +23:59."),
            ("2026-01-31T09:30:00+2400", "The offset must be from -23:59 to +23:59."),
            ("2026-01-31T09:30:00-24", "The offset must be from -23:59 to +23:59."),
            ("2026-01-31T09:30:60Z", "A second 60 must be the last of a month in UTC."),
            ("2016-12-30T23:59:60Z", "A second 60 must be the last of a month in UTC."),
            ("2016-12-31T23:59:60+09:00", "A second 60 must be the last of a month in UTC."),
            ("0001-01-01T00:00:00+14:00", "Must lie within the years 1 to 9999 in UTC."),
            ("9999-12-31T23:59:59-12:00", "Must lie within the years 1 to 9999 in UTC."),
            ("9999-12-31T23:59:60Z", "Must lie within the years 1 to 9999 in UTC."),
        ],
    )
    def test_others_are_told_what_is_wrong(self, value: str, detail: str) -> None:
        assert detail_of(INSTANT, value) == ("invalid_format", detail)

    @pytest.mark.parametrize(
        "value",
        [
            *("2026-01-31", "2026-01-31T09:30:00", "2026-01-31T09:30Z", "2026-01-31T09:30:00.Z"),
            *(
                f"2026-01-31T09:30:00{end}"
                for end in ("+", "+2", "+020", "+02000", "+02:", "+02:0")
            ),
        ],
    )
    def test_what_has_another_form_is_told_the_form(self, value: str) -> None:
        code, detail = detail_of(INSTANT, value)
        assert code == "invalid_format"
        assert detail.startswith("Must be an RFC 3339 instant with an offset")

    def test_what_is_too_long_or_no_text(self) -> None:
        assert detail_of(INSTANT, "2026-01-31T09:30:00." + "9" * 80 + "Z")[0] == "too_long"
        for adapter in (DATE, INSTANT):
            assert detail_of(adapter, 0) == ("wrong_type", "Must be text.")
