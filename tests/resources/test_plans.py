"""Plans of the lists over many rows: each page comes from an index, and nothing large is sorted."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.accounts.service import delete_account_with_items
from app.links.kinds import FAVORITED_BY, WISHED_BY, WISHED_ITEMS
from app.links.schemas import LinkQuery
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from app.resources.lists import Listing, PageQuery, Rows, fetch_rows
from app.resources.preconditions import Precondition
from tests.applications import make_settings
from tests.catalog import CATALOG, NOON, Entry, List, Row, every_list, parent_name
from tests.databases import CloneDatabase
from tests.resources.test_filters import takes_many, written
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Fetch = Callable[[AsyncSession, Any], Awaitable[Rows]]

SECOND, MONTH = timedelta(seconds=1), timedelta(days=30)
ROWS = 100_000
FEW = ROWS // 50
BATCH = 10_000
# A fifth of all accounts have item 1 as their favorite and wish for it; account 1 wishes for a
# fifth of all items.
LINKS = """
INSERT INTO favorites
  SELECT id_of(n), id_of(CASE WHEN n % 5 = 0 THEN 1 ELSE n END),
    '2026-01-01Z'::timestamptz + n * interval '1 s'
  FROM generate_series(1, :rows / 2) AS n;
INSERT INTO wishes
  SELECT id_of(a), id_of(i), NULL, '2026-01-01Z'::timestamptz + n * interval '1 s'
  FROM generate_series(1, :rows / 2) AS n, LATERAL (VALUES
    (CASE WHEN n % 5 = 0 THEN 1 ELSE n END, CASE WHEN n % 5 = 1 THEN 1 ELSE n END)) AS ends (a, i);
ANALYZE
"""
ID_OF = (
    "CREATE FUNCTION id_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE"
    " RETURN lpad(to_hex(n), 32, '0')::uuid"
)


def row(entry: Entry, n: int) -> Row:
    """The n-th row; every hundredth belongs to the first parent, each other to one of its own."""
    parent = str(UUID(int=1 if n % 100 == 0 else n))
    system = {
        "id": str(UUID(int=n)),
        "created": NOON + n * SECOND,
        "updated": NOON + MONTH - n * SECOND,
    }
    return entry.row({**entry.body(n), **dict.fromkeys(entry.parents(), parent), **system})


@pytest.fixture(scope="module")
async def filled(
    clone_database: CloneDatabase,
) -> AsyncIterator[AsyncEngine]:
    """A database with many rows."""
    async with clone_database() as url:
        engine = make_engine(url, make_settings(), autocommit=True)
        async with engine.begin() as connection:
            await connection.execute(text(ID_OF))
            for entry in CATALOG:
                for start in range(1, ROWS + 1, BATCH):
                    rows = [row(entry, n) for n in range(start, start + BATCH)]
                    await entry.insert_all(connection, rows)
            for statement in LINKS.split(";\n"):
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

    async def page(self, fetch: Fetch, query: PageQuery) -> Rows:
        self.ran.clear()
        event.listen(self.engine.sync_engine, "before_cursor_execute", self.record)
        async with request_session(self.statements) as session:
            page = await fetch(session, query)
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
        return [json.dumps(row) for row in json.loads(f"[{page.text}]")]


@pytest.fixture
async def explained(filled: AsyncEngine) -> AsyncIterator[Explained]:
    explained = Explained(filled)
    yield explained
    await explained.statements.close()


def fetched(listing: Listing, parent: int | None = None) -> Fetch:
    parent_id = None if parent is None else UUID(int=parent)
    return lambda session, query: fetch_rows(session, listing, query, parent_id)


# Of a list with a parent: the one that has many rows, and one that has one.
PARENTS = {True: ((1, 50), (2, 1)), False: ((None, 50),)}


class TestSorts:
    """Each sort alone, in both directions."""

    @every_list
    async def test_of_resources(self, explained: Explained, entry: Entry, each: List) -> None:
        for parent, rows in PARENTS[parent_name(each) is not None]:
            for name in each.listing.sorts:
                for sort in (name, f"-{name}"):
                    query = each.query.model_validate({"sort": sort})
                    found = await explained.walk(fetched(each.listing, parent), query)
                    assert len(found) == rows, sort

    @pytest.mark.parametrize("listing", [FAVORITED_BY, WISHED_ITEMS, WISHED_BY])
    async def test_of_links(self, explained: Explained, listing: Listing) -> None:
        for parent, rows in PARENTS[True]:
            for sort in ("created", "-created"):
                query = LinkQuery.model_validate({"sort": sort})
                assert len(await explained.walk(fetched(listing, parent), query)) == rows


@every_list
async def test_filters(explained: Explained, entry: Entry, each: List) -> None:
    """Each with the default sort, where it lets few rows through and where it lets many."""
    rows = [entry.parse(row(entry, n)) for n in range(1, ROWS + 1, 37)]
    fetch = fetched(each.listing, None if parent_name(each) is None else 1)
    for name in each.filters:
        found = 0
        for given in few_and_many(entry, each, name, rows):
            values = {name: written(value) for name, value in given.items()}
            found += len(await explained.walk(fetch, each.query.model_validate(values)))
        assert found, name


def few_and_many(entry: Entry, each: List, name: str, rows: list[Row]) -> Iterator[Row]:
    """Filters that let few rows through and that let many."""
    field, _, end = name.rpartition("_")
    if name in entry.rules:
        yield from ({name: value} for value in entry.rules[name].values(rows[:5]))
    elif end in ("gte", "lte", "lt"):
        values = sorted(one[field] for one in rows if one[field] is not None)
        middle = len(values) // 2
        yield from ({name: value} for value in (values[0], values[middle], values[-1]))
        if end != "gte":
            yield {f"{field}_gte": values[middle], name: values[middle + 1]}
    elif end == "prefix":
        value = rows[len(rows) // 2][field]
        yield from ({name: value[:length]} for length in (1, len(value) - 1, len(value)))
    else:
        counted = Counter(one[name] for one in rows if one[name] is not None).most_common()
        (most, _), (second, _), *_, (least, _) = counted
        if takes_many(each, name):
            choices = ([most], [least], [most, second], [most, least])
            yield from ({name: choice} for choice in choices)
        else:
            yield from ({name: value} for value in (most, least))


class Undone(Exception):
    """Rolls a transaction back."""


async def test_a_cascade_finds_its_items_by_an_index(explained: Explained) -> None:
    event.listen(explained.engine.sync_engine, "before_cursor_execute", explained.record)
    with pytest.raises(Undone):
        async with request_session(explained.statements) as session:
            await delete_account_with_items(session, UUID(int=1), Precondition(), PATIENCE)
            raise Undone
    event.remove(explained.engine.sync_engine, "before_cursor_execute", explained.record)
    assert any("DELETE FROM items" in statement for statement, _ in explained.ran)
    for statement, parameters in explained.ran:
        await explained.check(statement, parameters)


async def test_no_table_has_more_than_ten_indexes(explained: Explained) -> None:
    tables = "SELECT count(*) AS n FROM pg_indexes WHERE schemaname = 'public' GROUP BY tablename"
    most = await explained.statements.scalar(text(f"SELECT max(n) FROM ({tables}) AS counts"))
    assert most is not None
    assert most <= 10


async def test_a_sort_without_an_index_is_found(explained: Explained, filled: AsyncEngine) -> None:
    entry = next(entry for entry in CATALOG if "updated" in entry.resource.sorts)
    name = entry.resource.table.name
    async with filled.connect() as connection:
        await connection.execute(text(f"DROP INDEX ix_{name}_updated_id"))
        with pytest.raises(AssertionError):
            await TestSorts().test_of_resources(explained, entry, entry.lists[0])
        await connection.execute(text(f"CREATE INDEX ix_{name}_updated_id ON {name} (updated, id)"))
