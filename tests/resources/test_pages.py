"""Walking lists page by page."""

from decimal import Decimal

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.catalog import Entry, List, every_list, insert_items, rows_of
from tests.factories import create_account, create_item
from tests.pages import walk


class TestWalking:
    async def test_prices_are_sorted_as_numbers(
        self, connection: AsyncConnection, client: httpx.AsyncClient
    ) -> None:
        prices = ["0.00", "0.01", "2.00", "2.00", "10.00", "9999999999.99"]
        await insert_items(connection, [{"price": Decimal(p)} for p in (*prices[3:], *prices[:3])])
        for sort, expected in (("price", prices), ("-price", prices[::-1])):
            rows, _ = await walk(client, "/items", sort=sort, limit="2")
            assert [row["price"] for row in rows] == expected

    @every_list
    @pytest.mark.parametrize("sort", ["created", "-created"])
    async def test_rows_that_stay_come_once_whatever_comes_and_goes(
        self, sort: str, client: httpx.AsyncClient, entry: Entry, each: List
    ) -> None:
        parents = {
            name: (await parent.create(client))["id"] for name, parent in entry.parents().items()
        }
        path = each.path.format(**parents)
        rows = [await entry.create(client, **parents) for _ in range(9)]
        in_order = rows if sort == "created" else rows[::-1]
        seen: list[str] = []
        query = {"limit": "2", "sort": sort}
        gone: set[str] = set()
        for _ in range(20):
            page = (await client.get(path, params=query)).json()
            seen += [row["id"] for row in page["data"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
            # The last row seen goes, one ahead goes, and a new one comes.
            ahead = [row["id"] for row in in_order if row["id"] not in {*seen, *gone}]
            for row_id in (seen[-1], *ahead[1:2]):
                assert (await client.delete(f"{entry.path}/{row_id}")).status_code == 204
                gone.add(row_id)
            if len(gone) < 4:
                await entry.create(client, **parents)
        assert page["next_cursor"] is None
        assert len(seen) == len(set(seen))
        assert {row["id"] for row in rows} - gone <= set(seen)

    async def test_limit_and_count_may_change_between_pages(
        self, client: httpx.AsyncClient
    ) -> None:
        owner = (await create_account(client))["id"]
        items = [await create_item(client, owner) for _ in range(4)]
        first = (await client.get("/items?limit=1")).json()
        query = {"cursor": first["next_cursor"], "limit": "200", "count": "exact"}
        page = (await client.get("/items", params=query)).json()
        assert first["data"] + page["data"] == items[::-1]
        assert page["count"] == 4

    async def test_another_sort_or_filter_makes_the_cursor_invalid(
        self, client: httpx.AsyncClient
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

    async def test_a_link_keeps_the_query(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for name in ("a & b", "a & c", "b"):
            await create_item(client, owner, name=name)
        query = {"limit": "1", "sort": "name", "name_prefix": "a & ", "account_id": owner}
        answer = await client.get("/items", params=query)
        answer = await client.get(answer.links["next"]["url"])
        assert [row["name"] for row in answer.json()["data"]] == ["a & c"]
        assert "next" not in answer.links

    @every_list
    async def test_a_page_is_one_statement(
        self,
        statements: list[str],
        client: httpx.AsyncClient,
        connection: AsyncConnection,
        entry: Entry,
        each: List,
    ) -> None:
        path, _, _ = rows_of(each, await entry.insert(connection, [{}] * 3, parents=1))
        statements.clear()
        await walk(client, path, limit="2")
        assert [statement.split()[0] for statement in statements] == ["SELECT"] * 2
