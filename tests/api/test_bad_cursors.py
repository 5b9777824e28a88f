"""Cursors that are altered, foreign or forged, to a running server."""

import base64
import string
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from app.resources import cursors
from tests.api.cases import SECRET
from tests.api.conftest import Running
from tests.catalog import CATALOG, Entry, List, every_list, parent_name
from tests.connections import Connection, exchange, head
from tests.responses import assert_problem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

ALPHABET = string.ascii_letters + string.digits + "-_"
ROW = bytes.fromhex("0189abcd000070008000000000000000")
# What is no value of a column of this type.
FORGED: dict[type, list[bytes]] = {
    datetime: [
        *(b"", b"x", SECRET.encode(), b"\0", b"2026-01-01", b"2026-01-01T00:00:00", b"infinity"),
        *(b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59.999999-12:00"),
        *(b"0001-01-01T00:00:00+23:59", b"2026-01-01T00:00:00+00:00:30"),
    ],
    str: [b"\0", b"a\0b", b"\xed\xa0\x80", b"\xff"],
    Decimal: [
        *(b"NaN", b"Infinity", b"-Infinity", b"sNaN", b"1e400", b"1e16", b"x", b"1_0", b" 1"),
        *(b"1" * 99, b"", b"[1]", b"null"),
    ],
    int: [b"", b"x", b"1.5", b"1_0", b" 1", b"9" * 99, b"null"],
    date: [b"", b"x", b"2026-02-30", b"2026-01-01T00:00:00", b"null"],
}


@every_list
class TestCursors:
    """A cursor is good for its list, unaltered."""

    @pytest.fixture
    def path(self, running: Running, each: List) -> str:
        return each.path.replace("_id}", "}").format(**running.ids)

    @pytest.fixture
    def cursor(self, running: Running, path: str) -> str:
        first = exchange(running.port, head("GET", f"{path}?limit=1"))
        cursor: str = first.json()["next_cursor"]
        assert exchange(running.port, head("GET", f"{path}?cursor={cursor}")).status_code == 200
        return cursor

    def refused(self, running: Running, *targets: str) -> None:
        with Connection(running.port) as connection:
            for target in targets:
                connection.send(head("GET", target))
                answer = connection.receive()
                assert_problem(answer, 422, "invalid_cursor", {"?cursor": "invalid_format"})

    async def test_altered(
        self, running: Running, entry: Entry, each: List, path: str, cursor: str
    ) -> None:
        for place, letter in enumerate(cursor):
            other = "A" if letter != "A" else "B"
            # The last letter has bits to spare: every other one is another cursor all the same.
            others = ALPHABET.replace(letter, "") if place == len(cursor) - 1 else other
            altered = (cursor[:place] + letter + cursor[place + 1 :] for letter in others)
            self.refused(running, *(f"{path}?cursor={one}" for one in altered))

    async def test_truncated_or_longer(
        self, running: Running, entry: Entry, each: List, path: str, cursor: str
    ) -> None:
        cut = (cursor[:length] for length in range(len(cursor)))
        longer = (cursor + more for more in ("A", "=", "==", "%20", "%0A", "%2C", cursor))
        self.refused(running, *(f"{path}?cursor={one}" for one in (*cut, *longer)))

    async def test_of_another_list_sort_or_filter(
        self, running: Running, entry: Entry, each: List, path: str, cursor: str
    ) -> None:
        lists = [one.path.replace("_id}", "}") for other in CATALOG for one in other.lists]
        lists += ["/items/{item}/wished-by", "/accounts/{account}/wishes"]
        targets = {f"{one.format(**running.ids)}?" for one in lists} - {f"{path}?"}
        targets |= {f"{path}?sort={name}&" for name in each.listing.sorts}
        targets |= {f"{path}?created_gte=2026-01-31T00:00:00Z&"}
        targets |= {f"{path}?{name}=x&" for name in entry.texts if name in each.filters}
        self.refused(running, *(f"{one}cursor={cursor}" for one in targets))

    def forge(self, running: Running, each: List, path: str, sort: str, position: bytes) -> str:
        """The query of a list with a cursor whose checksum is right."""
        name = parent_name(each)
        parent = None if name is None else UUID(running.ids[name.removesuffix("_id")])
        parameters = {} if parent is None else {"parent_id": parent}
        binding = cursors.binding_of(each.listing.name, sort, parameters)
        return f"{path}?sort={sort}&cursor={cursors.seal(position, binding)}"

    async def test_forged_values(
        self, running: Running, entry: Entry, each: List, path: str, cursor: str
    ) -> None:
        genuine = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[9:]
        forged = self.forge(running, each, path, "-created", genuine)
        assert forged.endswith(f"&cursor={cursor}")
        for name, column in each.listing.sorts.items():
            for sort in (name, f"-{name}"):
                values = FORGED[column.type.python_type]
                positions = (ROW + value for value in values)
                self.refused(
                    running, *(self.forge(running, each, path, sort, p) for p in positions)
                )

    async def test_forged_shapes(
        self, running: Running, entry: Entry, each: List, path: str
    ) -> None:
        instant = b"2026-01-01T00:00:00+00:00"
        good = self.forge(running, each, path, "-created", ROW + instant)
        assert exchange(running.port, head("GET", good)).is_success
        shapes = [b"", ROW, ROW[:15], b"null", b"[]", ROW[1:] + instant, ROW + ROW + instant]
        shapes += [ROW + b" " + instant, ROW + instant + b" ", b"[" * 1400]
        self.refused(running, *(self.forge(running, each, path, "-created", s) for s in shapes))
