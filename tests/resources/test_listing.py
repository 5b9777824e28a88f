"""What lists let through, and in which order: every filter and every sort, at its boundaries."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

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
from tests.pages import found, refused, walk
from tests.resources.test_filters import takes_many

TICK = timedelta(microseconds=1)


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
            assert await refused(client, target) == [(name, "invalid_format")]


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
                assert await refused(client, f"{entry.path}?{name}={value}") == [(name, code)]


class TestEveryParameter:
    @every_list
    async def test_given_twice(self, client: httpx.AsyncClient, entry: Entry, each: List) -> None:
        path = each.path.format_map(dict.fromkeys([parent_name(each) or ""], UNKNOWN))
        for name in each.query.model_fields:
            if not takes_many(each, name):
                assert await refused(client, f"{path}?{name}=&{name}=") == [(name, "duplicate")]

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
            assert await refused(client, f"{path}?{parameter}") == [(name, "unknown")]

    async def test_all_faults_come_together(self, client: httpx.AsyncClient) -> None:
        query = "limit=0&sort=x&country=Atlantis&dob_gte=x&q=x&count=x&username=a&username=b"
        assert sorted(await refused(client, f"/accounts?{query}")) == [
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
        assert await refused(client, f"/accounts?sort={sort}") == [("sort", "invalid_format")]


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
        assert await refused(client, f"/accounts?cursor={'A' * 2001}") == [("cursor", "too_long")]
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
