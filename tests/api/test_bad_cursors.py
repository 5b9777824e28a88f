"""Cursors that are altered, foreign or forged, to a running server."""

import base64
import string

import pytest

from app.resources import cursors
from tests.api.cases import SECRET
from tests.api.conftest import Running
from tests.edge.answers import Connection, assert_problem, exchange, head

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

ALPHABET = string.ascii_letters + string.digits + "-_"
ROW = bytes.fromhex("0189abcd000070008000000000000000")


class TestCursors:
    """A cursor is good for its list, unaltered."""

    @pytest.fixture
    def cursor(self, running: Running) -> str:
        first = exchange(running.port, head("GET", "/accounts?limit=1"))
        cursor: str = first.json()["next_cursor"]
        assert exchange(running.port, head("GET", f"/accounts?cursor={cursor}")).status_code == 200
        return cursor

    def refused(self, running: Running, *targets: str) -> None:
        with Connection(running.port) as connection:
            for target in targets:
                connection.send(head("GET", target))
                answer = connection.receive()
                assert_problem(answer, 422, "invalid_cursor", {"?cursor": "invalid_format"})

    async def test_altered(self, running: Running, cursor: str) -> None:
        for place, letter in enumerate(cursor):
            other = "A" if letter != "A" else "B"
            # The last letter has bits to spare: every other one is another cursor all the same.
            others = ALPHABET.replace(letter, "") if place == len(cursor) - 1 else other
            altered = (cursor[:place] + letter + cursor[place + 1 :] for letter in others)
            self.refused(running, *(f"/accounts?cursor={one}" for one in altered))

    async def test_truncated_or_longer(self, running: Running, cursor: str) -> None:
        cut = (cursor[:length] for length in range(len(cursor)))
        longer = (cursor + more for more in ("A", "=", "==", "%20", "%0A", "%2C", cursor))
        self.refused(running, *(f"/accounts?cursor={one}" for one in (*cut, *longer)))

    async def test_of_another_list(self, running: Running, cursor: str) -> None:
        targets = ["/items?", "/accounts?sort=created&", "/accounts?sort=email&"]
        targets += ["/accounts?username=x&", "/accounts?country=JO&", "/items/{item}/wished-by?"]
        targets += ["/accounts/{account}/items?", "/accounts/{account}/wishes?"]
        ids = running.ids
        self.refused(running, *(f"{one.format(**ids)}cursor={cursor}" for one in targets))

    def forge(self, position: bytes, listed: str = "accounts", sort: str = "-created") -> str:
        """The query of a list with a cursor whose checksum is right."""
        binding = cursors.binding_of(listed, None, sort, {})
        raw = cursors._checksum(position, binding) + position
        return f"/{listed}?sort={sort}&cursor={base64.urlsafe_b64encode(raw).decode().rstrip('=')}"

    async def test_forged_instants(self, running: Running, cursor: str) -> None:
        genuine = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[8:]
        assert self.forge(genuine).endswith(f"&cursor={cursor}")
        values = ["", "x", SECRET, "\0", "2026-01-01", "2026-01-01T00:00:00"]
        values += ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"]
        values += ["0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00+00:00:30", "infinity"]
        self.refused(running, *(self.forge(ROW + value.encode()) for value in values))

    async def test_forged_text_and_numbers(self, running: Running) -> None:
        texts = (b"\0", b"a\0b", b"\xed\xa0\x80", b"\xff")
        targets = [self.forge(ROW + text, sort="email") for text in texts]
        numbers = ["NaN", "Infinity", "-Infinity", "sNaN", "1e400", "1e16", "x", "1_0", " 1"]
        numbers += ["1" * 99, "", "[1]", "null"]
        targets += [self.forge(ROW + number.encode(), "items", "price") for number in numbers]
        self.refused(running, *targets)

    async def test_forged_shapes(self, running: Running) -> None:
        instant = b"2026-01-01T00:00:00+00:00"
        assert exchange(running.port, head("GET", self.forge(ROW + instant))).is_success
        payloads = [b"", ROW, ROW[:15], b"null", b"[]", ROW[1:] + instant, ROW + ROW + instant]
        payloads += [ROW + b" " + instant, ROW + instant + b" ", b"[" * 1400]
        self.refused(running, *map(self.forge, payloads))
