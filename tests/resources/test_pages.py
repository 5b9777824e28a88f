"""Walking lists page by page."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from app.models import Account, Item
from tests.factories import create_account, create_item

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
# Texts in the order of their code points, whatever a language may think.
TEXTS = ["A", "Z", "Zebra", "a", "a b", "a-b", "a_b", "ab", "z", "É", "ß", "é", "\U0001f4a1"]


async def walk(
    client: httpx2.AsyncClient, path: str, **query: str
) -> tuple[list[dict[str, Any]], int]:
    """All rows of a list, and the number of its pages."""
    rows: list[dict[str, Any]] = []
    for pages in range(1, 100):
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["data"]
        if answer.json()["next_cursor"] is None:
            return rows, pages
        query["cursor"] = answer.json()["next_cursor"]
    raise AssertionError("the walk does not end")


async def insert_accounts(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    values = []
    for row in rows:
        row_id = row.get("id", uuid7())
        email = f"{row_id}@example.com"
        fixed = {"email": email, "email_key": email, "created": NOON, "updated": NOON}
        values.append({"id": row_id, "username": "same", **fixed, **row})
    await connection.execute(insert(Account), values)


async def insert_items(connection: AsyncConnection, rows: list[dict[str, Any]]) -> UUID:
    owner = uuid7()
    await insert_accounts(connection, [{"id": owner}])
    values = [
        {
            "id": uuid7(),
            "account_id": owner,
            "name": "same",
            "price": Decimal("1.00"),
            "image_link": "http://example.com/",
            "created": NOON,
            "updated": NOON,
            **row,
        }
        for row in rows
    ]
    await connection.execute(insert(Item), values)
    return owner


class TestWalking:
    async def test_ties_are_broken_by_id_in_the_same_direction(
        self, connection: AsyncConnection, client: httpx2.AsyncClient
    ) -> None:
        await insert_accounts(connection, [{} for _ in range(9)])
        for sort in ("created", "-created", "updated", "-username"):
            for limit in (1, 4, 8, 9, 10):
                rows, pages = await walk(client, "/accounts", sort=sort, limit=str(limit))
                ids = [row["id"] for row in rows]
                assert ids == sorted(set(ids), reverse=sort.startswith("-"))
                assert (len(ids), pages) == (9, -(-9 // limit))

    async def test_text_is_sorted_by_code_point(
        self, connection: AsyncConnection, client: httpx2.AsyncClient
    ) -> None:
        await insert_accounts(connection, [{"username": name} for name in reversed(TEXTS)])
        await insert_items(connection, [{"name": name} for name in reversed(TEXTS)])
        for path, field in (("/accounts", "username"), ("/items", "name")):
            for sort, expected in ((field, TEXTS), (f"-{field}", TEXTS[::-1])):
                rows, _ = await walk(client, path, sort=sort, limit="3")
                assert [row[field] for row in rows if row[field] != "same"] == expected

    async def test_prices_are_sorted_as_numbers(
        self, connection: AsyncConnection, client: httpx2.AsyncClient
    ) -> None:
        prices = ["0.00", "0.01", "2.00", "2.00", "10.00", "9999999999.99"]
        await insert_items(connection, [{"price": Decimal(p)} for p in (*prices[3:], *prices[:3])])
        for sort, expected in (("price", prices), ("-price", prices[::-1])):
            rows, _ = await walk(client, "/items", sort=sort, limit="2")
            assert [row["price"] for row in rows] == expected

    async def test_emails_are_sorted_without_regard_to_case(
        self, client: httpx2.AsyncClient
    ) -> None:
        for email in ("b@example.com", "C@example.com", "a@example.com", "B2@example.com"):
            await create_account(client, email=email)
        rows, _ = await walk(client, "/accounts", sort="email", limit="1")
        assert [row["email"][0] for row in rows] == ["a", "B", "b", "C"]

    @pytest.mark.parametrize("sort", ["created", "-created"])
    async def test_rows_that_stay_come_once_whatever_comes_and_goes(
        self, sort: str, client: httpx2.AsyncClient
    ) -> None:
        owner = (await create_account(client))["id"]
        items = [await create_item(client, owner) for _ in range(9)]
        in_order = items if sort == "created" else items[::-1]
        seen: list[str] = []
        query = {"limit": "2", "sort": sort}
        gone: set[str] = set()
        for _ in range(20):
            page = (await client.get("/items", params=query)).json()
            seen += [row["id"] for row in page["data"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
            # The last row seen goes, one ahead goes, and a new one comes.
            ahead = [item["id"] for item in in_order if item["id"] not in {*seen, *gone}]
            for item_id in (seen[-1], *ahead[1:2]):
                assert (await client.delete(f"/items/{item_id}")).status_code == 204
                gone.add(item_id)
            if len(gone) < 4:
                await create_item(client, owner)
        assert page["next_cursor"] is None
        assert len(seen) == len(set(seen))
        assert {item["id"] for item in items} - gone <= set(seen)

    async def test_limit_and_count_may_change_between_pages(
        self, client: httpx2.AsyncClient
    ) -> None:
        owner = (await create_account(client))["id"]
        items = [await create_item(client, owner) for _ in range(4)]
        first = (await client.get("/items?limit=1")).json()
        query = {"cursor": first["next_cursor"], "limit": "200", "count": "exact"}
        page = (await client.get("/items", params=query)).json()
        assert first["data"] + page["data"] == items[::-1]
        assert page["count"] == 4

    async def test_another_sort_or_filter_makes_the_cursor_invalid(
        self, client: httpx2.AsyncClient
    ) -> None:
        owner = (await create_account(client))["id"]
        for _ in range(2):
            await create_item(client, owner)
        cursor = (await client.get("/items?limit=1")).json()["next_cursor"]
        others = ({"sort": "created"}, {"sort": "name"}, {"account_id": owner}, {"name": "x"})
        for other in ({}, *others):
            answer = await client.get("/items", params={"cursor": cursor, **other})
            assert answer.status_code == (422 if other else 200)
            if other:
                assert answer.json()["code"] == "invalid_cursor"
        answer = await client.get(f"/accounts/{owner}/items", params={"cursor": cursor})
        assert answer.json()["code"] == "invalid_cursor"

    async def test_a_link_keeps_the_query(self, client: httpx2.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for name in ("a & b", "a & c", "b"):
            await create_item(client, owner, name=name)
        query = {"limit": "1", "sort": "name", "name_prefix": "a & ", "account_id": owner}
        answer = await client.get("/items", params=query)
        answer = await client.get(answer.links["next"]["url"])
        assert [row["name"] for row in answer.json()["data"]] == ["a & c"]
        assert "next" not in answer.links

    async def test_a_page_is_one_statement(
        self, statements: list[str], client: httpx2.AsyncClient
    ) -> None:
        owner = (await create_account(client))["id"]
        for _ in range(3):
            await create_item(client, owner)
        statements.clear()
        await walk(client, "/items", limit="2")
        assert len(statements) == 2
        assert all(statement.startswith("SELECT") for statement in statements)
