"""Pages of links: who has an item as a favorite, who wishes for what."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.api.cases import UNKNOWN
from tests.factories import create_account, create_item
from tests.links.test_router import own_answer, problem, put

# Each list: its address, the end that its rows hold, and its parent's kind.
LISTS = {
    "favorited-by": ("/items/{parent}/favorited-by", "account", "item"),
    "wishes": ("/accounts/{parent}/wishes", "item", "account"),
    "wished-by": ("/items/{parent}/wished-by", "account", "item"),
}


class Linked:
    """A parent with links, and the address of their list."""

    def __init__(self, client: httpx.AsyncClient, name: str, parent_id: str) -> None:
        self.client, self.name, self.parent_id = client, name, parent_id
        path, self.end, self.parent_kind = LISTS[name]
        self.path = path.format(parent=parent_id)

    async def page(self, query: str = "") -> dict[str, Any]:
        answer = await self.client.get(self.path + query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def address_of(self, end: str) -> str:
        """Of the link with this other end."""
        if self.name == "favorited-by":
            return f"/accounts/{end}/favorite"
        account, item = (self.parent_id, end) if self.end == "item" else (end, self.parent_id)
        return f"/accounts/{account}/wishes/{item}"

    async def add(self) -> str:
        """One more link; the id of its other end."""
        create = create_item if self.end == "item" else create_account
        end: str = (await create(self.client))["id"]
        body = {"item_id": self.parent_id} if self.name == "favorited-by" else {}
        await put(self.client, self.address_of(end), **body)
        return end

    async def walk(self, query: str) -> list[str]:
        """The ids of the other ends, page by page, by the Link header as it stands."""
        found: list[str] = []
        link: str | None = self.path + query
        while link is not None:
            answer = await self.client.get(link)
            found += [row[self.end]["id"] for row in answer.json()["data"]]
            link = answer.links["next"]["url"] if "next" in answer.links else None
            assert (link is None) == (answer.json()["next_cursor"] is None)
        return found


@pytest.fixture(params=LISTS)
async def linked(request: pytest.FixtureRequest, client: httpx.AsyncClient) -> Linked:
    owner = await create_account(client)
    parent = owner if request.param == "wishes" else await create_item(client, owner["id"])
    return Linked(client, request.param, parent["id"])


async def tie_all(connection: AsyncConnection) -> None:
    """Let all links be made in the same instant, as those of one statement are."""
    for table in ("favorites", "wishes"):
        await connection.execute(text(f"UPDATE {table} SET created = '2026-01-31T09:30:00Z'"))


class TestEveryList:
    async def test_empty_with_a_parent(self, linked: Linked) -> None:
        assert await linked.page() == {"data": [], "next_cursor": None, "count": None}
        assert (await linked.page("?count=exact"))["count"] == 0

    @pytest.mark.parametrize("query", ["", "?count=exact", "?count=estimated"])
    async def test_empty_without_a_parent(self, linked: Linked, query: str) -> None:
        path = linked.path.replace(linked.parent_id, UNKNOWN)
        answer = await linked.client.get(path + query)
        assert problem(answer) == (404, f"{linked.parent_kind}_not_found")

    async def test_rows_hold_the_other_end_as_its_own_address_answers_it(
        self, linked: Linked
    ) -> None:
        end = await linked.add()
        odd = 'a"b\\c/\b\f\n\r\t\x01\x7f\u2028 é 𝄞 {"x":1}'
        change = {"name": odd, "description": odd} if linked.end == "item" else {"username": odd}
        await linked.client.patch(f"/{linked.end}s/{end}", json=change)
        (row,) = (await linked.page())["data"]
        answer = await own_answer(linked.client, f"/{linked.end}s/{end}")
        assert row[linked.end] == answer
        assert list(row[linked.end]) == list(answer)
        keys = [linked.end, "created"] if linked.name == "favorited-by" else None
        assert list(row) == (keys or [linked.end, "note", "created"])
        assert len(row["created"]) == len("2026-01-31T09:30:00.000000Z")

    async def test_sorts_by_when_links_were_made_the_latest_first(self, linked: Linked) -> None:
        made = [await linked.add() for _ in range(3)]
        for query, order in (
            ("", made[::-1]),
            ("?sort=-created", made[::-1]),
            ("?sort=created", made),
        ):
            page = await linked.page(query)
            assert [row[linked.end]["id"] for row in page["data"]] == order
            created = [row["created"] for row in page["data"]]
            assert created == sorted(created, reverse=query != "?sort=created")

    @pytest.mark.parametrize("sort", ["created", "-created"])
    @pytest.mark.parametrize("tied", [False, True], ids=["", "tied"])
    async def test_pages_put_together_are_the_list(
        self, linked: Linked, connection: AsyncConnection, sort: str, tied: bool
    ) -> None:
        made = [await linked.add() for _ in range(5)]
        if tied:
            await tie_all(connection)
            made.sort()
        order = made if sort == "created" else made[::-1]
        for limit in (1, 2, 5):
            assert await linked.walk(f"?sort={sort}&limit={limit}") == order

    async def test_links_made_and_deleted_meanwhile_shift_nothing(self, linked: Linked) -> None:
        made = [await linked.add() for _ in range(4)]
        page = await linked.page("?limit=2")
        assert [row[linked.end]["id"] for row in page["data"]] == made[:1:-1]
        await linked.add()
        await linked.client.delete(linked.address_of(made[2]))
        page = await linked.page(f"?limit=2&cursor={page['next_cursor']}")
        assert [row[linked.end]["id"] for row in page["data"]] == made[1::-1]
        assert page["next_cursor"] is None

    async def test_shows_the_links_of_its_parent_alone(self, linked: Linked) -> None:
        end = await linked.add()
        owner = await create_account(linked.client)
        parent = owner if linked.name == "wishes" else await create_item(linked.client)
        other = Linked(linked.client, linked.name, parent["id"])
        await other.add()
        for query in ("", "?count=exact"):
            page = await linked.page(query)
            assert [row[linked.end]["id"] for row in page["data"]] == [end]
        assert page["count"] == 1

    async def test_counts(self, linked: Linked) -> None:
        for _ in range(3):
            await linked.add()
        page = await linked.page("?limit=2&count=exact")
        assert (len(page["data"]), page["count"]) == (2, 3)
        assert (await linked.page("?limit=2&count=none"))["count"] is None
        estimated = (await linked.page("?limit=2&count=estimated"))["count"]
        assert isinstance(estimated, int)
        cursor = page["next_cursor"]
        assert (await linked.page(f"?cursor={cursor}&count=exact&limit=1"))["count"] == 3

    async def test_takes_as_many_statements_whatever_the_size(
        self, linked: Linked, statements: list[str]
    ) -> None:
        for expected in (2, 1, 1, 1):  # without a row the parent is looked up
            statements.clear()
            await linked.page()
            assert len(statements) == expected
            await linked.add()

    async def test_a_cursor_behind_the_last_row_looks_its_parent_up(self, linked: Linked) -> None:
        made = [await linked.add() for _ in range(2)]
        page = await linked.page("?limit=1")
        assert page["data"][0][linked.end]["id"] == made[1]
        await linked.client.delete(linked.address_of(made[0]))
        rest = await linked.page(f"?cursor={page['next_cursor']}")
        assert rest == {"data": [], "next_cursor": None, "count": None}

    async def test_a_cursor_belongs_to_one_parent_and_sort(self, linked: Linked) -> None:
        for _ in range(3):
            await linked.add()
        cursor = (await linked.page("?limit=1"))["next_cursor"]
        assert len((await linked.page(f"?cursor={cursor}&limit=200&count=exact"))["data"]) == 2
        parent = await create_item(linked.client)
        parent_id = parent["account_id" if linked.name == "wishes" else "id"]
        other = linked.path.replace(linked.parent_id, parent_id)
        for path in (
            f"{linked.path}?sort=created&cursor={cursor}",
            f"{linked.path}?cursor={cursor}A",
            f"{other}?cursor={cursor}",
        ):
            assert problem(await linked.client.get(path)) == (422, "invalid_cursor")

    async def test_a_cursor_of_another_list(self, linked: Linked) -> None:
        for _ in range(2):
            await linked.add()
        cursor = (await linked.page("?limit=1"))["next_cursor"]
        others = {path.format(parent=linked.parent_id) for path, _, _ in LISTS.values()}
        for path in others - {linked.path}:
            answer = await linked.client.get(f"{path}?cursor={cursor}")
            assert problem(answer) == (422, "invalid_cursor")

    async def test_refuses_what_it_does_not_know(self, linked: Linked) -> None:
        for query, code in (
            ("limit=0", "too_small"),
            ("limit=201", "too_large"),
            ("limit=x", "wrong_type"),
            ("limit=1&limit=1", "duplicate"),
            ("sort=note", "invalid_format"),
            ("sort=updated", "invalid_format"),
            ("count=all", "invalid_format"),
            ("created_gte=2026-01-31T09:30:00Z", "unknown"),
            ("q=x", "unknown"),
        ):
            answer = await linked.client.get(f"{linked.path}?{query}")
            assert problem(answer) == (422, "invalid_request")
            faults = [(fault["parameter"], fault["code"]) for fault in answer.json()["errors"]]
            assert faults == [(query.partition("=")[0], code)]

    async def test_a_malformed_id(self, linked: Linked) -> None:
        answer = await linked.client.get(linked.path.replace(linked.parent_id, "1"))
        assert problem(answer) == (422, "invalid_request")


class TestNotes:
    async def test_are_shown_at_both_ends(self, client: httpx.AsyncClient) -> None:
        account, item = await create_account(client), await create_item(client)
        wish = await put(client, f"/accounts/{account['id']}/wishes/{item['id']}", note='"é\n')
        wishes = await own_answer(client, f"/accounts/{account['id']}/wishes")
        assert wishes["data"] == [wish]
        wished_by = await own_answer(client, f"/items/{item['id']}/wished-by")
        assert wished_by["data"] == [
            {"account": account, "note": '"é\n', "created": wish["created"]}
        ]

    async def test_a_new_note_leaves_the_order(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        items = [await create_item(client) for _ in range(2)]
        paths = [f"/accounts/{account['id']}/wishes/{item['id']}" for item in items]
        for path in (*paths, paths[0]):
            await put(client, path, note="x")
        wishes = await own_answer(client, f"/accounts/{account['id']}/wishes")
        assert [wish["item"] for wish in wishes["data"]] == items[::-1]
