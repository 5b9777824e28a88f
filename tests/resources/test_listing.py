"""What lists let through, and in which order: every filter and every sort, at its boundaries."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from tests.api.cases import UNKNOWN
from tests.catalog import (
    CATALOG,
    NOON,
    Entry,
    List,
    every_list,
    insert_accounts,
    insert_items,
    parent_name,
    rows_of,
)
from tests.factories import create_account, next_number
from tests.pages import walk
from tests.resources.test_filters import takes_many

TICK = timedelta(microseconds=1)


async def found(client: httpx.AsyncClient, path: str, key: str, **query: Any) -> set[Any]:
    """The values of a field in the rows that a query lets through."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return {row[key] for row in answer.json()["data"]}


async def faults(client: httpx.AsyncClient, path: str) -> list[tuple[str, str]]:
    answer = await client.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_request"
    return [(fault["parameter"], fault["code"]) for fault in answer.json()["errors"]]


every_instant = pytest.mark.parametrize(
    ("entry", "field"),
    [
        (entry, field)
        for entry in CATALOG
        for field in ("created", "updated")
        if entry.resource.filters.keys() >= {f"{field}_gte", f"{field}_lt"}
    ],
    ids=lambda value: value if isinstance(value, str) else value.path,
)


class TestInstants:
    @every_instant
    async def test_from_one_on_and_before_one(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, field: str
    ) -> None:
        times = (NOON - TICK, NOON, NOON + TICK)
        rows = await entry.insert(connection, [{field: one} for one in times])
        before, noon, after = (row["id"] for row in rows)
        for instant in (
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00.000000z",
            "2026-01-31 12:00:00+00:00",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T00:30:00.0-11:30",
        ):
            gte = await found(client, entry.path, "id", **{f"{field}_gte": instant})
            assert gte == {noon, after}
            lt = await found(client, entry.path, "id", **{f"{field}_lt": instant})
            assert lt == {before}
        both = {
            f"{field}_gte": "2026-01-31T12:00:00Z",
            f"{field}_lt": "2026-01-31T12:00:00.000001Z",
        }
        assert await found(client, entry.path, "id", **both) == {noon}
        end = {f"{field}_gte": "9999-12-31T23:59:59.999999Z"}
        assert await found(client, entry.path, "id", **end) == set()

    @every_instant
    @pytest.mark.parametrize(
        "instant",
        [
            "2026-01-31T12:00:00",
            "2026-01-31",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00+02:00",  # the plus of a query is a space
            "2026-02-30T12:00:00Z",
            "1769860800",
            "now",
            "",
            "0001-01-01T00:00:00%2B14:00",
        ],
    )
    async def test_need_an_offset_and_all_else(
        self, client: httpx.AsyncClient, entry: Entry, field: str, instant: str
    ) -> None:
        for name in (f"{field}_gte", f"{field}_lt"):
            target = f"{entry.path}?{name}={instant}"
            assert await faults(client, target) == [(name, "invalid_format")]


# Text fields that lists filter by prefix, and those that they also filter by equality or sort by.
TEXTS = [
    (entry, name.removesuffix("_prefix"))
    for entry in CATALOG
    for name in entry.resource.filters
    if name.endswith("_prefix")
]
EQUALS = [(entry, field) for entry, field in TEXTS if field in entry.resource.filters]
SORTS = [(entry, field) for entry, field in TEXTS if field in entry.resource.sorts]


def each_of(texts: list[tuple[Entry, str]]) -> pytest.MarkDecorator:
    names = [f"{entry.path}-{field}" for entry, field in texts]
    return pytest.mark.parametrize(("entry", "field"), texts, ids=names)


class TestText:
    """Filters and sorts of text: by code point, as it is."""

    NAMES = (
        *("a", "aa", "ab", "A", "Z", "é", "e\u0301", "ü", "ß", "ss", "\ufb00", "\U0001d11e"),
        *("%", "%a", "a%", "_", "_a", "a_", "a_b", "axb", "\\", "\\%", "'", '"', "a'b", "?", "*"),
        *("\ud7ff", "\ud7ffa", "\ue000", "\ud7fe", "\U0010ffff", "\U0010ffff\U0010ffff", "a\ud7ff"),
        *("a\ud7ffz", "a\ue000", "a\U0010ffff", "a\U0010ffffz", "b", "\x7f", "\x01", "\uffff"),
        *("Zebra", "a b", "a-b", "z", "É", "\U0001f4a1"),
    )
    PREFIXES = (
        *("a", "A", "é", "e", "%", "_", "a%", "a_", "\\", "'", "?", "zz", "\U0001d11e"),
        *("\ud7ff", "a\ud7ff", "\U0010ffff", "a\U0010ffff", "\U0010ffff\U0010ffff", "\ue000"),
        *("\ud7fe", "\uffff", "a\ud7ff\U0010ffff\U0010ffff", "\U0010ffff" * 3, "x" * 1000),
    )

    @pytest.fixture
    async def rows(self, connection: AsyncConnection, entry: Entry, field: str) -> None:
        """Rows of these names."""
        await entry.insert(connection, [{field: name} for name in self.NAMES])

    @each_of(TEXTS)
    @pytest.mark.usefixtures("rows")
    async def test_prefixes(self, client: httpx.AsyncClient, entry: Entry, field: str) -> None:
        for prefix in self.PREFIXES:
            expected = {name for name in self.NAMES if name.startswith(prefix)}
            query = {f"{field}_prefix": prefix, "limit": 200}
            assert await found(client, entry.path, field, **query) == expected, ascii(prefix)

    @each_of(EQUALS)
    @pytest.mark.usefixtures("rows")
    async def test_equality(self, client: httpx.AsyncClient, entry: Entry, field: str) -> None:
        for name in (*self.NAMES, "AA", "a ", " a", "É", "%%"):
            expected = {name} & set(self.NAMES)
            assert await found(client, entry.path, field, **{field: name}) == expected, ascii(name)

    @each_of(SORTS)
    @pytest.mark.usefixtures("rows")
    async def test_order(self, client: httpx.AsyncClient, entry: Entry, field: str) -> None:
        for sort in (field, f"-{field}"):
            rows, _ = await walk(client, entry.path, sort=sort, limit="7")
            assert [row[field] for row in rows] == sorted(self.NAMES, reverse=sort.startswith("-"))

    @each_of(TEXTS)
    async def test_limits(self, client: httpx.AsyncClient, entry: Entry, field: str) -> None:
        for name in entry.resource.filters.keys() & {field, f"{field}_prefix"}:
            assert await found(client, entry.path, "id", **{name: "x" * 1000}) == set()
            for value, code in (
                ("", "too_short"),
                ("x" * 1001, "too_long"),
                ("%00", "invalid_format"),
                ("a%FF", "invalid_format"),
                ("%ED%A0%80", "invalid_format"),
            ):
                assert await faults(client, f"{entry.path}?{name}={value}") == [(name, code)]


class TestAccounts:
    async def test_email_in_any_case(self, client: httpx.AsyncClient) -> None:
        emails = ["Ada@Example.com", "adam@example.com", "Straße@bücher.example"]
        for email in emails:
            await create_account(client, email=email)
        for email, expected in (
            ("ada@example.com", {"Ada@example.com"}),
            ("ADA@EXAMPLE.COM", {"Ada@example.com"}),
            ("STRASSE@BÜCHER.EXAMPLE", {"Straße@bücher.example"}),
            ("straße@xn--bcher-kva.example", {"Straße@bücher.example"}),
            ("straße@bu\u0308cher.example", {"Straße@bücher.example"}),
            ("ada", set()),
            ("ada@example.co", set()),
            ("ada%@example.com", set()),
            ("%", set()),
            ("x" * 1000, set()),
        ):
            assert await found(client, "/accounts", "email", email=email) == expected, email

    async def test_country_in_every_form_and_any_of_many(self, client: httpx.AsyncClient) -> None:
        for country in ("JO", "DE", "KR", None):
            await create_account(client, country=country)

        async def in_countries(*countries: str) -> set[str]:
            return await found(client, "/accounts", "country", country=list(countries))

        for form in ("JO", "jo", "JOR", "400", "Jordan", "hashemite kingdom of jordan"):
            assert await in_countries(form) == {"JO"}
        for form in ("Korea, Republic of", "South Korea", "kor"):
            assert await in_countries(form) == {"KR"}
        assert await in_countries("JO", "Germany") == {"JO", "DE"}
        assert await in_countries("JO", "Jordan", "400") == {"JO"}
        assert await in_countries("FR") == set()
        assert await in_countries(*["JO"] * 50) == {"JO"}

    @pytest.mark.parametrize("query", ["Atlantis", "", "J", "JO&country=Atlantis", "null", "%EF"])
    async def test_an_unknown_country(self, client: httpx.AsyncClient, query: str) -> None:
        assert await faults(client, f"/accounts?country={query}") == [("country", "invalid_format")]

    async def test_too_many_countries(self, client: httpx.AsyncClient) -> None:
        query = "&".join(["country=JO"] * 51)
        assert await faults(client, f"/accounts?{query}") == [("country", "too_long")]

    async def test_dates_of_birth(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        days = [date(1990, 5, 16), date(1990, 5, 17), date(1990, 5, 18), None]
        await insert_accounts(connection, [{"dob": day} for day in days])
        for query, expected in (
            ({"dob_gte": "1990-05-17"}, {"1990-05-17", "1990-05-18"}),
            ({"dob_lte": "1990-05-17"}, {"1990-05-16", "1990-05-17"}),
            ({"dob_gte": "1990-05-17", "dob_lte": "1990-05-17"}, {"1990-05-17"}),
            ({"dob_gte": "1990-05-18", "dob_lte": "1990-05-17"}, set()),
            ({"dob_gte": "0001-01-01"}, {"1990-05-16", "1990-05-17", "1990-05-18"}),
            ({"dob_lte": "9999-12-31"}, {"1990-05-16", "1990-05-17", "1990-05-18"}),
        ):
            assert await found(client, "/accounts", "dob", **query) == expected

    @pytest.mark.parametrize(
        "day", ["", "1990", "1990-02-30", "17.05.1990", "0", "1990-05-17T00:00Z"]
    )
    async def test_no_dates(self, client: httpx.AsyncClient, day: str) -> None:
        for name in ("dob_gte", "dob_lte"):
            assert await faults(client, f"/accounts?{name}={day}") == [(name, "invalid_format")]

    async def test_filters_must_all_hold(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        rows = [
            {"username": "ada", "country": "JO", "dob": date(1990, 1, 1)},
            {"username": "ada", "country": "DE", "dob": date(1990, 1, 1)},
            {"username": "ada", "country": "JO", "dob": date(1991, 1, 1)},
            {"username": "bob", "country": "JO", "dob": date(1990, 1, 1)},
        ]
        await insert_accounts(connection, [{"id": uuid7(), **row} for row in rows])
        query = {"username_prefix": "a", "country": ["JO", "FR"], "dob_lte": "1990-12-31"}
        answer = await client.get("/accounts", params={**query, "count": "exact"})
        (row,) = answer.json()["data"]
        assert (row["username"], row["country"], row["dob"]) == ("ada", "JO", "1990-01-01")
        assert answer.json()["count"] == 1


class TestItems:
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
            assert await faults(client, f"/items?{name}={price}") == [(name, code)]

    async def test_owner(self, client: httpx.AsyncClient, connection: AsyncConnection) -> None:
        owner = await insert_items(connection, [{"name": "mine"}])
        await insert_items(connection, [{"name": "other"}])
        assert await found(client, "/items", "name", account_id=str(owner)) == {"mine"}
        assert await found(client, "/items", "name", account_id=str(owner).upper()) == {"mine"}
        assert await found(client, "/items", "name", account_id=UNKNOWN) == set()
        assert await faults(client, "/items?account_id=1") == [("account_id", "invalid_format")]

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

    async def test_the_case_of_other_letters_is_what_the_server_says(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        await insert_items(connection, [{"name": "ÉTÉ"}])
        knows_them = await connection.scalar(text("SELECT lower('É') = 'é'"))  # not in locale C
        for words in ("été", "Été"):
            assert await found(client, "/items", "name", q=words) == (
                {"ÉTÉ"} if knows_them else set()
            )
        assert await found(client, "/items", "name", q="ÉTÉ") == {"ÉTÉ"}

    async def test_limits(self, client: httpx.AsyncClient) -> None:
        assert await faults(client, "/items?q=") == [("q", "too_short")]
        assert await faults(client, f"/items?q={'x' * 1001}") == [("q", "too_long")]


class TestEveryParameter:
    @every_list
    async def test_given_twice(self, client: httpx.AsyncClient, entry: Entry, each: List) -> None:
        path = each.path.format_map(dict.fromkeys([parent_name(each) or ""], UNKNOWN))
        for name in each.query.model_fields:
            if not takes_many(each, name):
                assert await faults(client, f"{path}?{name}=&{name}=") == [(name, "duplicate")]

    async def test_unknown(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for path, parameter in (
            ("/accounts", "name=x"),
            ("/accounts", "Email=x"),
            ("/accounts", "dob=1990-01-01"),
            ("/accounts", "created_lte=2026-01-31T12:00:00Z"),
            ("/items", "country=JO"),
            ("/items", "offset=1"),
            (f"/accounts/{owner}/items", f"account_id={owner}"),
        ):
            name = parameter.partition("=")[0]
            assert await faults(client, f"{path}?{parameter}") == [(name, "unknown")]

    async def test_all_faults_come_together(self, client: httpx.AsyncClient) -> None:
        query = "limit=0&sort=x&country=Atlantis&dob_gte=x&q=x&count=x&username=a&username=b"
        assert sorted(await faults(client, f"/accounts?{query}")) == [
            ("count", "invalid_format"),
            ("country", "invalid_format"),
            ("dob_gte", "invalid_format"),
            ("limit", "too_small"),
            ("q", "unknown"),
            ("sort", "invalid_format"),
            ("username", "duplicate"),
        ]


class TestSorts:
    """Each sort of each list, in both directions, walked by cursors through ties."""

    @every_list
    async def test_each(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
    ) -> None:
        times = [{"created": NOON + TICK * n, "updated": NOON - TICK * n} for n in range(4)]
        values = [{**entry.row(entry.body(next_number())), **row} for row in times]
        unique = entry.resource.unique.keys()
        tied = {column.name for column in each.listing.sorts.values()} - unique
        rows = [{name: values[n // 2 % 4][name] for name in tied} for n in range(11)]
        path, _, own = rows_of(each, await entry.insert(connection, rows))
        for name in each.listing.sorts:
            key = entry.sort_keys.get(name, lambda value: value)
            for sort in (name, f"-{name}"):
                for limit in (1, 3, len(own) - 1, len(own), len(own) + 1):
                    found, pages = await walk(client, path, sort=sort, limit=str(limit))
                    order = [(key(row[name]), row["id"]) for row in map(entry.parse, found)]
                    assert order == sorted(order, reverse=sort.startswith("-"))
                    assert len(set(order)) == len(own)
                    assert pages == -(-len(own) // limit)

    @every_list
    async def test_the_default_is_the_latest_first(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
    ) -> None:
        rows = [{"created": NOON + TICK * n, "updated": NOON - TICK * n} for n in (1, 2, 0, 2)]
        path, _, own = rows_of(each, await entry.insert(connection, rows, parents=1))
        answer = await client.get(path)
        assert answer.json() == (await client.get(f"{path}?sort=-created")).json()
        keys = [(row["created"], row["id"]) for row in answer.json()["data"]]
        assert keys == sorted(keys, reverse=True)
        assert len(keys) == len(own) == 4

    @pytest.mark.parametrize(
        "sort",
        ["", "-", "--created", "+created", "Created", "id", "country", "created,id", "price"],
    )
    async def test_unknown(self, client: httpx.AsyncClient, sort: str) -> None:
        assert await faults(client, f"/accounts?sort={sort}") == [("sort", "invalid_format")]


class TestLink:
    """The Link header of RFC 8288, good as it stands."""

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"sort": "username", "count": "exact"},
            {"country": ["JO", "Germany", "Côte d'Ivoire"]},
            {"username_prefix": 'a&b=c;%+" é𝄞>,<', "created_gte": "2026-01-31T14:00:00+02:00"},
        ],
        ids=["plain", "sort and count", "repeated", "odd"],
    )
    async def test_next(
        self, client: httpx.AsyncClient, connection: AsyncConnection, query: dict[str, Any]
    ) -> None:
        name = 'a&b=c;%+" é𝄞>,<'
        rows = [{"username": f"{name}{n}", "country": ["JO", "DE", "CI"][n]} for n in range(3)]
        await insert_accounts(connection, rows)
        answer = await client.get("/accounts", params={**query, "limit": 1})
        seen = [row["username"] for row in answer.json()["data"]]
        while "link" in answer.headers:
            header = answer.headers["link"]
            match = re.fullmatch(r'<(/accounts\?[!-;=?-~]+)>; rel="next"', header)
            assert match, header
            cursors = re.findall(r"[?&]cursor=([^&]*)", match[1])
            assert cursors == [answer.json()["next_cursor"]]
            answer = await client.get(match[1])
            assert answer.json()["count"] == (3 if "count" in query else None)
            seen += [row["username"] for row in answer.json()["data"]]
        assert answer.json()["next_cursor"] is None
        assert seen == [row["username"] for row in rows][:: 1 if "sort" in query else -1]

    async def test_of_the_items_of_an_account(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        owner = await insert_items(connection, [{"name": "a"}, {"name": "b"}])
        answer = await client.get(f"/accounts/{str(owner).upper()}/items?limit=1&q=b")
        assert "link" not in answer.headers
        answer = await client.get(f"/accounts/{str(owner).upper()}/items?limit=1&sort=name")
        answer = await client.get(answer.links["next"]["url"])
        assert [row["name"] for row in answer.json()["data"]] == ["b"]


class TestCursorBindings:
    async def test_a_filter_may_not_change_nor_go(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        rows = [{"username": f"ada{n}", "country": "JO", "dob": date(1990, 1, 1)} for n in range(3)]
        await insert_accounts(connection, rows)
        query: dict[str, Any] = {
            "username_prefix": "ada",
            "country": ["JO", "DE"],
            "dob_gte": "1990-01-01",
            "created_gte": "2026-01-31T12:00:00Z",
        }
        first = (await client.get("/accounts", params={**query, "limit": 1})).json()
        cursor = {"cursor": first["next_cursor"]}
        answer = await client.get("/accounts", params={**query, **cursor, "count": "estimated"})
        assert len(answer.json()["data"]) == 2
        # The same filter, spelled otherwise.
        same = {"country": ["Jordan", "deu"], "created_gte": "2026-01-31T14:00:00+02:00"}
        answer = await client.get("/accounts", params={**query, **same, **cursor})
        assert answer.status_code == 200
        for change in (
            {"username_prefix": "ad"},
            {"country": ["JO"]},
            {"country": ["JO", "DE", "FR"]},
            {"dob_gte": "1990-01-02"},
            {"created_gte": "2026-01-31T12:00:00.000001Z"},
            {"username_prefix": None},
            {"username": "ada0"},
            {"email": "ada0@example.com"},
            {"updated_lt": "2027-01-01T00:00:00Z"},
            {"sort": "username"},
        ):
            changed = {**query, **cursor, **change}
            params = {name: value for name, value in changed.items() if value is not None}
            answer = await client.get("/accounts", params=params)
            assert answer.status_code == 422, change
            assert answer.json()["code"] == "invalid_cursor"
            assert [fault["parameter"] for fault in answer.json()["errors"]] == ["cursor"]

    async def test_too_long(self, client: httpx.AsyncClient) -> None:
        assert await faults(client, f"/accounts?cursor={'A' * 2001}") == [("cursor", "too_long")]
        answer = await client.get(f"/accounts?cursor={'A' * 2000}")
        assert answer.json()["code"] == "invalid_cursor"
        assert (await client.get("/accounts?cursor=")).json()["code"] == "invalid_cursor"

    async def test_the_longest_one_is_taken(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        name = "\U0001d11e" * 100
        await insert_accounts(connection, [{"username": name}, {"username": name}])
        for sort in ("username", "-username"):
            rows, pages = await walk(client, "/accounts", sort=sort, limit="1")
            assert (len(rows), pages) == (2, 2)


class TestEmptyPages:
    async def test_of_an_account_that_is_there(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        owner = (await create_account(client))["id"]
        statements.clear()
        answer = await client.get(f"/accounts/{owner}/items")
        assert answer.json() == {"data": [], "next_cursor": None, "count": None}
        assert len(statements) == 2

    async def test_of_one_that_is_not(self, client: httpx.AsyncClient) -> None:
        for query in ("", "?q=x&count=exact", "?count=estimated"):
            answer = await client.get(f"/accounts/{UNKNOWN}/items{query}")
            assert answer.status_code == 404
            assert answer.json()["code"] == "account_not_found"

    async def test_the_owner_is_looked_up_only_then(
        self, client: httpx.AsyncClient, connection: AsyncConnection, statements: list[str]
    ) -> None:
        owner = await insert_items(connection, [{"created": datetime(2020, 1, 1, tzinfo=UTC)}])
        statements.clear()
        await client.get(f"/accounts/{owner}/items")
        assert len(statements) == 1
