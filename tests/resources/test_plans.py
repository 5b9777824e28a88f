"""Plans of the lists over many rows: each page comes from an index, and nothing large is sorted."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import URL, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.accounts.schemas import AccountQuery
from app.accounts.service import list_accounts
from app.items.schemas import ItemQuery, OwnedItemQuery
from app.items.service import list_account_items, list_items
from app.links.schemas import LinkQuery
from app.links.service import list_favorited_by, list_wished_by, list_wishes
from app.postgres.statements import Statements
from app.resources.pages import Page, PageQuery

pytestmark = pytest.mark.slow

Fetch = Callable[[Statements, Any], Awaitable[Page]]

ROWS = 100_000
FEW = ROWS // 50
# Every hundredth item belongs to account 1; a fifth of all accounts have item 1 as their favorite
# and wish for it; account 1 wishes for a fifth of all items.
MADE = """
CREATE FUNCTION id_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN lpad(to_hex(n), 32, '0')::uuid;
INSERT INTO accounts (id, email, email_key, username, dob, country, created, updated)
  SELECT id_of(n), 'p' || n || '@example.com', 'p' || n || '@example.com',
    'user ' || n % 50000, DATE '1950-01-01' + (n % 20000)::int,
    CASE WHEN n % 1000 = 0 THEN 'JO' ELSE chr(65 + (n % 5)::int) || 'E' END,
    '2026-01-01Z'::timestamptz + n * interval '1 s', '2026-03-01Z'::timestamptz - n * interval '1 s'
  FROM generate_series(1, :rows) AS n;
INSERT INTO items (id, account_id, name, price, description, image_link, created, updated)
  SELECT id_of(n), id_of(CASE WHEN n % 100 = 0 THEN 1 ELSE n END), 'Item ' || n % 50000,
    (n * 7919 % 100000)::numeric / 100, CASE WHEN n % 1000 = 0 THEN 'rare word' ELSE 'word' END,
    'http://example.com/', '2026-01-01Z'::timestamptz + n * interval '1 s',
    '2026-03-01Z'::timestamptz - n * interval '1 s'
  FROM generate_series(1, :rows) AS n;
INSERT INTO favorites
  SELECT id_of(n), id_of(CASE WHEN n % 5 = 0 THEN 1 ELSE n END),
    '2026-01-01Z'::timestamptz + n * interval '1 s'
  FROM generate_series(1, :rows / 2) AS n;
INSERT INTO wishes
  SELECT id_of(a), id_of(i), NULL, '2026-01-01Z'::timestamptz + n * interval '1 s'
  FROM generate_series(1, :rows / 2) AS n, LATERAL (VALUES
    (CASE WHEN n % 5 = 0 THEN 1 ELSE n END, CASE WHEN n % 5 = 1 THEN 1 ELSE n END)) AS ends (a, i);
ANALYZE accounts;
ANALYZE items;
ANALYZE favorites;
ANALYZE wishes
"""


@pytest.fixture(scope="module")
async def filled(clone_database: Callable[[], Awaitable[URL]]) -> AsyncIterator[AsyncEngine]:
    """A database with many rows."""
    engine = create_async_engine(await clone_database(), isolation_level="AUTOCOMMIT")
    async with engine.begin() as connection:
        for statement in MADE.split(";\n"):
            await connection.execute(text(statement.replace(":rows", str(ROWS))))
    yield engine
    await engine.dispose()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


class Explained:
    """Fetches pages, and looks at the plan of each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.statements = Statements(engine)
        self.ran: list[tuple[str, Any]] = []

    def record(
        self, _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        self.ran.append((statement, parameters))

    async def page(self, fetch: Fetch, query: PageQuery) -> Page:
        self.ran.clear()
        event.listen(self.engine.sync_engine, "before_cursor_execute", self.record)
        page = await fetch(self.statements, query)
        event.remove(self.engine.sync_engine, "before_cursor_execute", self.record)
        for statement, parameters in self.ran:
            await self.check(statement, parameters)
        return page

    async def check(self, statement: str, parameters: Any) -> None:
        explain = f"EXPLAIN (FORMAT JSON) {statement}"
        async with self.engine.connect() as connection:
            found = (await connection.exec_driver_sql(explain, parameters)).scalar_one()
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        for node in nodes(plan):
            assert node["Node Type"] != "Seq Scan", (statement, plan)
            if node["Node Type"] == "Sort":
                assert node["Plan Rows"] <= FEW, (statement, plan)

    async def walk(self, fetch: Fetch, query: PageQuery) -> list[str]:
        """The first page and the one after it; the rows of the first."""
        page = await self.page(fetch, query)
        if page.next_cursor is not None:
            await self.page(fetch, query.model_copy(update={"cursor": page.next_cursor}))
        return [json.dumps(row) for row in json.loads(f"[{page.rows}]")]


@pytest.fixture
async def explained(filled: AsyncEngine) -> AsyncIterator[Explained]:
    explained = Explained(filled)
    yield explained
    await explained.statements.close()


def of_parent(fetch: Callable[[Statements, UUID, Any], Awaitable[Page]], number: int) -> Fetch:
    return lambda session, query: fetch(session, UUID(int=number), query)


DIRECTIONS = ("", "-")
ITEM_SORTS = ("created", "updated", "name", "price")


class TestSorts:
    """Each sort alone, in both directions."""

    async def test_accounts(self, explained: Explained) -> None:
        for key in ("created", "updated", "email", "username"):
            for direction in DIRECTIONS:
                query = AccountQuery.model_validate({"sort": direction + key})
                assert len(await explained.walk(list_accounts, query)) == 50

    async def test_items(self, explained: Explained) -> None:
        for key in ITEM_SORTS:
            for direction in DIRECTIONS:
                query = ItemQuery.model_validate({"sort": direction + key})
                assert len(await explained.walk(list_items, query)) == 50

    @pytest.mark.parametrize(("owner", "rows"), [(1, 50), (2, 1)])
    async def test_items_of_an_account(self, explained: Explained, owner: int, rows: int) -> None:
        fetch = of_parent(list_account_items, owner)
        for key in ITEM_SORTS:
            for direction in DIRECTIONS:
                query = OwnedItemQuery.model_validate({"sort": direction + key})
                assert len(await explained.walk(fetch, query)) == rows

    @pytest.mark.parametrize("fetch", [list_favorited_by, list_wishes, list_wished_by])
    @pytest.mark.parametrize(("parent", "rows"), [(1, 50), (2, 1)])
    async def test_links(self, explained: Explained, fetch: Any, parent: int, rows: int) -> None:
        for sort in ("created", "-created"):
            query = LinkQuery.model_validate({"sort": sort})
            assert len(await explained.walk(of_parent(fetch, parent), query)) == rows


class TestFilters:
    """Each filter with the default sort, where it lets few rows through and where it lets many."""

    async def test_accounts(self, explained: Explained) -> None:
        for given, rows in (
            ({"email": "P77@example.com"}, 1),
            ({"username": "user 77"}, 2),
            ({"username_prefix": "user 777"}, 22),
            ({"username_prefix": "user"}, 50),
            ({"country": ["JO"]}, 50),
            ({"country": ["JO", "ZW"]}, 50),
            ({"country": ["BE"]}, 50),
            ({"country": ["BE", "DE"]}, 50),
            ({"dob_gte": "2004-10-02"}, 10),
            ({"dob_lte": "1950-01-02"}, 10),
            ({"dob_gte": "1970-05-17", "dob_lte": "1970-05-18"}, 10),
            ({"dob_gte": "1970-05-17"}, 50),
            *TIMES,
        ):
            query = AccountQuery.model_validate(given)
            assert len(await explained.walk(list_accounts, query)) == rows, given

    async def test_items(self, explained: Explained) -> None:
        for given, rows in (
            ({"account_id": str(UUID(int=1))}, 50),
            ({"account_id": str(UUID(int=2))}, 1),
            *ITEM_FILTERS,
        ):
            query = ItemQuery.model_validate(given)
            assert len(await explained.walk(list_items, query)) == rows, given

    async def test_items_of_an_account(self, explained: Explained) -> None:
        fetch = of_parent(list_account_items, 1)
        for given, _ in ITEM_FILTERS:
            await explained.walk(fetch, OwnedItemQuery.model_validate(given))


TIMES = (
    *(
        ({f"{name}_gte": "2026-01-02T00:00:00Z", f"{name}_lt": "2026-01-02T00:00:10Z"}, rows)
        for name, rows in (("created", 10), ("updated", 0))
    ),
    ({"created_lt": "2026-01-01T00:00:10Z"}, 9),
    ({"created_gte": "2026-01-02T00:00:00Z"}, 50),
    ({"updated_gte": "2026-02-28T23:59:50Z"}, 10),
    ({"updated_lt": "2026-02-27T20:13:30Z"}, 10),
    ({"updated_lt": "2026-02-28T20:13:30Z"}, 50),
)
ITEM_FILTERS = (
    ({"name": "Item 77"}, 2),
    ({"name_prefix": "Item 777"}, 22),
    ({"name_prefix": "Item"}, 50),
    ({"price_gte": "999.90"}, 10),
    ({"price_lte": "0.04"}, 5),
    ({"price_gte": "500.00", "price_lte": "500.05"}, 6),
    ({"price_gte": "500.00"}, 50),
    ({"q": "rare"}, 50),
    ({"q": "word rare"}, 50),
    ({"q": "item 77"}, 2),
    ({"q": "word"}, 50),
    ({"q": "nothing"}, 0),
    *TIMES,
)


async def test_no_table_has_more_than_ten_indexes(explained: Explained) -> None:
    tables = "SELECT count(*) AS n FROM pg_indexes WHERE schemaname = 'public' GROUP BY tablename"
    most = await explained.statements.scalar(text(f"SELECT max(n) FROM ({tables}) AS counts"))
    assert most is not None
    assert most <= 10
