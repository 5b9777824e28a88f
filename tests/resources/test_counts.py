"""Counts of lists: exact within a second, estimated, or none."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import URL, Select, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.postgres.sessions import request_session
from app.resources import counts
from app.resources.counts import count_rows
from tests.applications import client_of, running_app
from tests.catalog import insert_accounts, insert_items
from tests.databases import OneConnection, execute
from tests.factories import create_account

MANY = 60_000
GENERATED = (
    "INSERT INTO items (id, account_id, name, image_link, name_words, description_words)"
    " SELECT gen_random_uuid(), :owner, 'Lamp ' || n, 'http://example.com/', 'lamp', ''"
    " FROM generate_series(1, :many) AS n"
)


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    async with request_session(OneConnection(connection)) as session:
        yield session


async def test_a_session_of_ones_own_counts_too(connection: AsyncConnection) -> None:
    statement = select(text("1")).select_from(text("accounts"))
    async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
        assert await count_rows(session, statement, {}, "exact") == 0


class TestOverHTTP:
    async def test_none_unless_asked_for(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        for query in ("", "?count=none"):
            statements.clear()
            answer = await client.get("/accounts" + query)
            assert answer.json()["count"] is None
            assert len(statements) == 1

    async def test_exact_counts_the_filtered_rows(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        rows = [{"username": f"{'ab'[n % 2]}{n}"} for n in range(9)]
        await insert_accounts(connection, rows)
        for query, expected in (
            ("", 9),
            ("&username_prefix=a", 5),
            ("&username_prefix=a&limit=1", 5),
            ("&username_prefix=a&sort=username&limit=200", 5),
            ("&username=a0", 1),
            ("&username=c", 0),
        ):
            answer = await client.get(f"/accounts?count=exact{query}")
            assert answer.json()["count"] == expected
        owner = await insert_items(connection, [{}, {}])
        await insert_items(connection, [{}])
        answer = await client.get(f"/accounts/{owner}/items?count=exact&limit=1")
        assert answer.json()["count"] == 2

    async def test_exact_is_the_same_on_every_page(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        await insert_accounts(connection, [{} for _ in range(3)])
        link: str | None = "/accounts?count=exact&limit=1"
        seen = []
        while link:
            answer = await client.get(link)
            seen.append(answer.json()["count"])
            link = answer.links.get("next", {}).get("url")
        assert seen == [3, 3, 3]

    async def test_estimated_is_the_planners_figure_of_many_rows(
        self,
        client: httpx.AsyncClient,
        connection: AsyncConnection,
        statements: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        values = {"many": 3000, "owner": await insert_items(connection, [{}])}
        await connection.execute(text(GENERATED), values)
        await connection.execute(text("ANALYZE items"))
        await connection.execute(text(GENERATED), {**values, "many": 30})
        assert counts.MIN_ESTIMATE == 10_000
        monkeypatch.setattr(counts, "MIN_ESTIMATE", 2900)
        statements.clear()
        answer = await client.get("/items?count=estimated&limit=1")
        assert 2900 <= answer.json()["count"] <= 3100
        assert [statement.split()[0] for statement in statements] == ["SELECT", "EXPLAIN"]

    async def test_estimated_is_exact_where_the_figure_is_small(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        for path in ("/items", "/accounts"):
            assert (await client.get(f"{path}?count=estimated")).json()["count"] == 0
        # Of a table that nobody has analysed the planner knows the size alone.
        values = {"many": 300, "owner": await insert_items(connection, [{}])}
        await connection.execute(text(GENERATED), values)
        for query, expected in (("", 301), ("&name=Lamp 7&q=lamp", 1), ("&price_gte=1.00", None)):
            counted = (await client.get(f"/items?limit=1&count=exact{query}")).json()["count"]
            answer = await client.get(f"/items?limit=1&count=estimated{query}")
            assert answer.json()["count"] == counted
            assert expected in (None, counted)
        assert (await client.get("/accounts?count=estimated")).json()["count"] == 1

    async def test_refuses_other_kinds(self, client: httpx.AsyncClient) -> None:
        for query, code in (
            ("count=", "invalid_format"),
            ("count=true", "invalid_format"),
            ("count=EXACT", "invalid_format"),
            ("count=exact&count=exact", "duplicate"),
        ):
            answer = await client.get(f"/accounts?{query}")
            assert answer.status_code == 422
            (fault,) = answer.json()["errors"]
            assert (fault["parameter"], fault["code"]) == ("count", code)


@pytest.mark.slow
class TestPatience:
    async def test_a_count_that_takes_too_long_is_null_and_the_page_is_served(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counts, "COUNT_TIMEOUT_SECONDS", 0.001)
        async with running_app(database, pool_size=1) as app, client_of(app) as client:
            owner = (await create_account(client))["id"]
            many = GENERATED.replace(":owner", f"'{owner}'").replace(":many", str(MANY))
            await execute(database, many)  # in whatever time it takes
            for path in ("/items", f"/accounts/{owner}/items"):
                page = (await client.get(f"{path}?limit=2&count=estimated")).json()
                assert isinstance(page["count"], int)
                page = (await client.get(f"{path}?limit=2&count=exact")).json()
                assert page["count"] is None
                assert len(page["data"]) == 2
                assert page["next_cursor"]
                # Nor does it matter to what comes after the count.
                page = (await client.get(f"{path}?q=nothing&name_prefix=L&count=exact")).json()
                assert page["data"] == []
            # The only connection of the pool has its own limit again.
            statements = app.state.statements
            assert await statements.scalar(text("SHOW statement_timeout")) == "5s"
            await statements.execute(text("SELECT pg_sleep(0.01)"))
            monkeypatch.setattr(counts, "COUNT_TIMEOUT_SECONDS", 60)
            page = (await client.get("/items?limit=1&count=exact")).json()
            assert page["count"] == MANY
            assert await statements.scalar(text("SHOW statement_timeout")) == "5s"

    async def test_is_a_second(
        self, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert counts.COUNT_TIMEOUT_SECONDS == 1
        for patience, seconds, expected in ((60, 0.1, 1), (0.1, 60, None)):
            monkeypatch.setattr(counts, "COUNT_TIMEOUT_SECONDS", patience)
            slow = select(func.pg_sleep(seconds).label("slept")).cte().prefix_with("MATERIALIZED")
            assert await count_rows(session, select(slow.c.slept), {}, "exact") == expected

    async def test_other_errors_are_not_taken_for_it(self, session: AsyncSession) -> None:
        statement: Select[tuple[int]] = select(text("1")).where(text("1 / 0 = 1"))
        with pytest.raises(DBAPIError, match="division by zero"):
            await count_rows(session, statement, {}, "exact")
