"""Cursors: what they hold, and that nothing but an unaltered one is taken."""

import base64
import string
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidCursor
from app.resources import lists
from app.resources.cursors import FORMAT, binding_of, decode_cursor, encode_cursor, is_intact, seal
from tests.catalog import Entry, List, every_list, rows_of
from tests.factories import create_account

ROW_ID = UUID("0190a5d0-7f3a-7cc0-8000-000000000001")
BINDING = binding_of("items", None, {"sort": "-created"})
VALUES = [
    datetime(2026, 1, 31, 9, 30, 0, 123456, UTC),
    datetime(2026, 1, 31, tzinfo=UTC),
    Decimal("0.00"),
    Decimal("9999999999.99"),
    "",
    "Lamp",
    0,
    -(2**63),
    2**63 - 1,
    date(1, 1, 1),
    date(9999, 12, 31),
    'quotes " and \\ and / and \x01',
    "Größe \u2028 \U0001f4a1 \U0010ffff",
    "é" * 254,
]

# The least and the greatest values of each type that a forged cursor may hold.
ENDS = {
    datetime: ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"],
    Decimal: ["-1", "9999999999999999", "1E-15", "-1E+15", "1." + "1" * 1000],
    str: ["\x01", "\U0010ffff" * 200, "%_\\'\"", "\u202e"],
    int: ["-9223372036854775808", "9223372036854775807"],
    date: ["0001-01-01", "9999-12-31"],
}


def forge(payload: bytes, binding: bytes = BINDING) -> str:
    """A cursor with a checksum that is right."""
    return seal(payload, binding)


def is_invalid(cursor: str, value_type: type, binding: bytes = BINDING) -> bool:
    try:
        decode_cursor(cursor, binding, value_type)
    except InvalidCursor:
        return True
    return False


class TestCursors:
    @pytest.mark.parametrize("value", VALUES)
    def test_hold_a_position(self, value: Any) -> None:
        cursor = encode_cursor(value, ROW_ID, BINDING)
        assert decode_cursor(cursor, BINDING, type(value)) == (value, ROW_ID)

    @pytest.mark.parametrize("value", VALUES)
    def test_fit_a_query_as_they_are(self, value: Any) -> None:
        cursor = encode_cursor(value, ROW_ID, BINDING)
        assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")
        assert len(cursor) <= 2000

    @pytest.mark.parametrize("value", VALUES)
    def test_show_that_they_are_altered_whatever_they_are_bound_to(self, value: Any) -> None:
        cursor = encode_cursor(value, ROW_ID, BINDING)
        assert is_intact(cursor)
        for place, letter in enumerate(cursor):
            assert not is_intact(
                cursor[:place] + ("A" if letter != "A" else "B") + cursor[place + 1 :]
            )
            assert not is_intact(cursor[:place])
        for other in (f"{cursor}A", f" {cursor}", f"{cursor}=", f"{cursor}!", "é", "AAAAA", ""):
            assert not is_intact(other)

    def test_are_good_for_what_they_are_bound_to_alone(self) -> None:
        cursor = encode_cursor("Lamp", ROW_ID, BINDING)
        for other in (
            ("accounts", None, {"sort": "-created"}),
            ("items", ROW_ID, {"sort": "-created"}),
            ("items", None, {"sort": "created"}),
            ("items", None, {"sort": "-created", "name": "Lamp"}),
            (None,),
        ):
            assert is_invalid(cursor, str, binding_of(*other))
        assert not is_invalid(cursor, str)

    def test_altered_in_any_character_are_invalid(self) -> None:
        for value in (VALUES[0], Decimal("1.00"), "Lamp", "Lamps"):
            cursor = encode_cursor(value, ROW_ID, BINDING)
            for place, char in enumerate(cursor):
                for other in set("AZaz09-_BEQgw+/= \u00e9\0") - {char}:
                    altered = cursor[:place] + other + cursor[place + 1 :]
                    assert is_invalid(altered, type(value)), (place, other)

    def test_cut_or_extended_are_invalid(self) -> None:
        cursor = encode_cursor("Lamp", ROW_ID, BINDING)
        for length in range(len(cursor)):
            assert is_invalid(cursor[:length], str)
        for tail in ("=", "==", "A", "AAAA", "\n", " ", "\0", "."):
            assert is_invalid(cursor + tail, str)
            assert is_invalid(tail + cursor, str)

    def test_written_in_the_other_alphabet_are_invalid(self) -> None:
        cursor = next(
            cursor
            for cursor in (encode_cursor(str(n), ROW_ID, BINDING) for n in range(1000))
            if "-" in cursor and "_" in cursor
        )
        assert is_invalid(cursor.replace("-", "+"), str)
        assert is_invalid(cursor.replace("_", "/"), str)

    @pytest.mark.parametrize("value_type", [datetime, Decimal, str])
    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            ROW_ID.bytes[:15],
            ROW_ID.bytes + b"\xff",
            ROW_ID.bytes + b"\xed\xa0\x80",  # a surrogate
            ROW_ID.bytes + b"a\0b",
        ],
    )
    def test_with_a_forged_payload_are_invalid(self, payload: bytes, value_type: type) -> None:
        assert is_invalid(forge(payload), value_type)

    @pytest.mark.parametrize(
        ("value_type", "values"),
        [
            (datetime, ["", "now", "2026-01-31", "2026-01-31T09:30:00", "5"]),
            (datetime, ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
            (datetime, ["2026-01-31T09:30:00Z"]),  # another spelling of what has one
            (Decimal, ["", "ten", "NaN", "sNaN", "Infinity", "-Infinity", "1_0", " 1", "٣"]),
            (Decimal, ["1e20000", "1E-20000", "9" * 1000]),
            (int, ["", "ten", "1.5", " 1", "1_0", "+1", "9223372036854775808", "9" * 5000]),
            (date, ["", "today", "2026-01-31T09:30:00", "20260131", "2026-02-30"]),
        ],
    )
    def test_with_a_forged_value_are_invalid(self, value_type: type, values: list[str]) -> None:
        for value in values:
            assert is_invalid(forge(ROW_ID.bytes + value.encode()), value_type), value

    def test_begin_with_their_format(self) -> None:
        cursor = encode_cursor("Lamp", ROW_ID, BINDING)
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        assert raw.startswith(FORMAT)
        for other in (b"", b"\x00", b"\x02"):
            text = base64.urlsafe_b64encode(other + raw[1:]).decode().rstrip("=")
            assert is_invalid(text, str)

    @every_list
    async def test_forged_to_the_ends_still_are_positions(
        self,
        client: httpx.AsyncClient,
        connection: AsyncConnection,
        monkeypatch: pytest.MonkeyPatch,
        entry: Entry,
        each: List,
    ) -> None:
        """What passes as a position, the database takes too."""

        def forge_and_decode(_: str, binding: bytes, value_type: type) -> tuple[Any, UUID]:
            forged = encode_cursor(value, UUID(int=0), binding)
            return decode_cursor(forged, binding, value_type)

        intact = encode_cursor("x", ROW_ID, BINDING)
        path, _, _ = rows_of(each, await entry.insert(connection, [{}]))
        monkeypatch.setattr(lists, "decode_cursor", forge_and_decode)
        for name, column in each.listing.sorts.items():
            for value in ENDS[column.type.python_type]:
                for sort in (name, f"-{name}"):
                    answer = await client.get(path, params={"sort": sort, "cursor": intact})
                    assert answer.status_code == 200, (sort, value)


JO_US = "country=JO&country=US"
SPELLINGS = [
    (
        "/accounts",
        JO_US,
        [
            "country=US&country=JO",
            "country=usa&country=Jordan",
            f"{JO_US}&{JO_US}",
            "country[]=JO&country%5B%5D=US",
            "country%5b%5d=US&country=JO",
        ],
    ),
    ("/accounts", "email=Ada%40example.com", ["email=ada%40EXAMPLE.com"]),
    ("/accounts", "dob_gte=1950-01-01&country=JO", ["country=jor&dob_gte=1950-01-01"]),
    (
        "/accounts",
        "created_gte=2026-01-31T09%3A30%3A00Z",
        [f"created_gte=2026-01-31T11%3A30%3A00{end}" for end in (".000%2B02%3A00", "%2B0200")],
    ),
    ("/items", "price_gte=1.50&price_lte=20", ["price_lte=20.00&price_gte=1.5"]),
    (
        "/items",
        "account_id=0190a5d0-7f3a-7cc0-8000-00000000000a",
        ["account_id=0190A5D0-7F3A-7CC0-8000-00000000000A"],
    ),
]
OTHERS = [
    ("/accounts", JO_US, ["country=JO", "country=JO&country=US&country=DE", ""]),
    ("/accounts", "username=ada", ["username=Ada", "username_prefix=ada"]),
    ("/items", "price_gte=1.50", ["price_gte=1.51", "price_lte=1.50"]),
    ("/items", "name=Lamp", ["name=lamp", "q=Lamp"]),
]


class TestBindings:
    """A cursor is bound to the values of the filters."""

    @pytest.fixture
    def bindings(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """Those of the lists that are asked for."""
        made: list[bytes] = []

        def note(*parts: object) -> bytes:
            made.append(binding_of(*parts))
            return made[-1]

        monkeypatch.setattr(lists, "binding_of", note)
        return made

    @pytest.mark.parametrize(("path", "query", "spellings"), SPELLINGS)
    async def test_are_equal_however_the_values_are_written(
        self,
        client: httpx.AsyncClient,
        bindings: list[bytes],
        path: str,
        query: str,
        spellings: list[str],
    ) -> None:
        for each in (query, *spellings):
            assert (await client.get(f"{path}?{each}")).status_code == 200
        assert len(set(bindings)) == 1

    @pytest.mark.parametrize(("path", "query", "others"), OTHERS)
    async def test_differ_where_the_values_do(
        self,
        client: httpx.AsyncClient,
        bindings: list[bytes],
        path: str,
        query: str,
        others: list[str],
    ) -> None:
        for each in (query, *others):
            assert (await client.get(f"{path}?{each}")).status_code == 200
        assert len(set(bindings)) == 1 + len(others)

    async def test_a_set_written_in_another_order_goes_on(self, client: httpx.AsyncClient) -> None:
        for country in ("JO", "US", "JO"):
            await create_account(client, country=country)
        page = (await client.get(f"/accounts?{JO_US}&limit=2")).json()
        query = f"country=us&country=JO&country=Jordan&cursor={page['next_cursor']}"
        rest = await client.get(f"/accounts?{query}")
        assert rest.status_code == 200
        assert len(rest.json()["data"]) == 1
