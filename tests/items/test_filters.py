"""The filters of items, and the search for words."""

from decimal import Decimal

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.api.cases import UNKNOWN
from tests.catalog import insert_items
from tests.pages import found, refused


class TestFilters:
    async def test_prices(self, client: httpx.AsyncClient, connection: AsyncConnection) -> None:
        prices = ["0.00", "9.99", "10.00", "10.01", "9999999999.99"]
        await insert_items(connection, [{"price": Decimal(price)} for price in prices])
        for query, expected in (
            ({"price_gte": "10"}, set(prices[2:])),
            ({"price_gte": "10.0"}, set(prices[2:])),
            ({"price_lte": "10.00"}, set(prices[:3])),
            ({"price_gte": "9.99", "price_lte": "10"}, set(prices[1:3])),
            ({"price_gte": "9999999999.99"}, {"9999999999.99"}),
            ({"price_lte": "0"}, {"0.00"}),
            ({"price_gte": "10.02", "price_lte": "10.01"}, set()),
        ):
            assert await found(client, "/items", "price", **query) == expected

    @pytest.mark.parametrize(
        ("price", "code"),
        [
            ("", "invalid_format"),
            ("ten", "invalid_format"),
            ("1.005", "invalid_format"),
            ("1e2", "invalid_format"),
            ("NaN", "invalid_format"),
            ("%D9%A1", "invalid_format"),
            ("-0.01", "too_small"),
            ("10000000000", "too_large"),
        ],
    )
    async def test_no_prices(self, client: httpx.AsyncClient, price: str, code: str) -> None:
        for name in ("price_gte", "price_lte"):
            assert await refused(client, f"/items?{name}={price}") == [(name, code)]

    async def test_owner(self, client: httpx.AsyncClient, connection: AsyncConnection) -> None:
        owner = await insert_items(connection, [{"name": "mine"}])
        await insert_items(connection, [{"name": "other"}])
        assert await found(client, "/items", "name", account_id=str(owner)) == {"mine"}
        assert await found(client, "/items", "name", account_id=str(owner).upper()) == {"mine"}
        assert await found(client, "/items", "name", account_id=UNKNOWN) == set()
        assert await refused(client, "/items?account_id=1") == [("account_id", "invalid_format")]

    async def test_filters_must_all_hold(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        rows = [
            {"name": "Lamp 1", "price": Decimal(5), "description": "brass"},
            {"name": "Lamp 2", "price": Decimal(50), "description": "brass"},
            {"name": "Lamp 3", "price": Decimal(5), "description": "oak"},
            {"name": "Desk 4", "price": Decimal(5), "description": "brass"},
        ]
        owner = await insert_items(connection, rows)
        await insert_items(connection, rows)
        query = {"name_prefix": "Lamp", "price_lte": "5", "q": "brass", "count": "exact"}
        for path, own in (("/items", {"account_id": str(owner)}), (f"/accounts/{owner}/items", {})):
            answer = await client.get(path, params={**query, **own})
            assert [row["name"] for row in answer.json()["data"]] == ["Lamp 1"]
            assert answer.json()["count"] == 1


class TestWords:
    ITEMS = (
        ("Brass lamp", "Height 1.5 m, see example.com/lamp-12"),
        ("LAMP", "well-known; e-mail: ada@example.com"),
        ("Été à Köln", "GRÖSSE 40cm"),
        ("Desk (oak)", None),
        ("x", 'a"b<c>d&amp;e “quoted” 日本語、テスト'),
        ("C++ und C#", "v2.0.1 -6 10% #1 1e5 007"),
        ("Lampshade", "lamp's"),
    )

    EXPECTED: tuple[tuple[str, list[int]], ...] = (
        # All words, of name and description together, in any order and case.
        ("lamp", [0, 1, 6]),
        ("LAMP", [0, 1, 6]),
        ("lamp brass", [0]),
        ("height brass", [0]),
        ("brass oak", []),
        # Whole words only.
        ("lam", []),
        ("lampshade", [6]),
        # Punctuation is nothing but what stands between words.
        ("lamp!", [0, 1, 6]),
        ("(oak) desk?", [3]),
        ("well known", [1]),
        ("well-known", [1]),
        ("known-well", [1]),
        ("1.5", [0]),
        ("5", [0]),
        ("-6", [5]),
        ("1,5", [0]),
        ("example.com", [0, 1]),
        ("example", [0, 1]),
        ("ada@example.com", [1]),
        ("http://example.com/lamp?12", []),
        ("example.com/lamp-12", [0]),
        ("lamp's", [6]),
        ("b c", [4]),
        ("amp", [4]),
        ('"quoted"', [4]),
        ("“quoted”", [4]),
        ("日本語", [4]),
        ("日本語、テスト", [4]),
        ("テスト日本", []),
        ("c", [4, 5]),
        ("C++", [4, 5]),
        ("v2.0.1", [5]),
        ("10%", [5]),
        ("#1", [0, 5]),
        ("1e5", [5]),
        ("007", [5]),
        ("7", []),
        # Operators of other query languages are punctuation too, or words.
        ("lamp & brass", [0]),
        ("lamp | oak", []),
        ("!lamp", [0, 1, 6]),
        ("lamp:*", [0, 1, 6]),
        ("'lamp", [0, 1, 6]),
        ("lamp <-> brass", [0]),
        ("lamp\\", [0, 1, 6]),
        ("%", []),
        ("__", []),
        # Not only ASCII.
        ("köln", [2]),
        ("Köln", [2]),
        ("Été à", [2]),
        ("GRÖSSE", [2]),
        ("koln", []),
        ("été", [2]),
        ("40cm", [2]),
        ("40", []),
        # Common words are words.
        ("und", [5]),
        ("a", [4]),
        # Where there is no word, nothing is found.
        ("!?., -", []),
        (" ", []),
        ("x" * 1000, []),
        ("lamp " * 199 + "brass", [0]),
    )

    async def test_search(self, client: httpx.AsyncClient, connection: AsyncConnection) -> None:
        rows = [{"name": name, "description": text} for name, text in self.ITEMS]
        await insert_items(connection, rows)
        for words, expected in self.EXPECTED:
            names = await found(client, "/items", "name", q=words)
            places = [place for place, (name, _) in enumerate(self.ITEMS) if name in names]
            assert places == expected, words

    async def test_limits(self, client: httpx.AsyncClient) -> None:
        assert await refused(client, "/items?q=") == [("q", "too_short")]
        assert await refused(client, f"/items?q={'x' * 1001}") == [("q", "too_long")]
