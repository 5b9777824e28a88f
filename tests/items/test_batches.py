"""The rules of items in batches: prices, and what they are found by."""

from collections import Counter

import httpx
import pytest

from app.items import search_words
from tests.api.batching import LoopTurns, at_rows, create, make_turns_last, send, stored
from tests.catalog import Row, entry_of
from tests.factories import create_account, item_body
from tests.responses import assert_problem

ENTRY = entry_of("/items")


async def found(client: httpx.AsyncClient, words: str) -> list[str]:
    """The names of the items with these words, in order."""
    answer = await client.get("/items", params={"q": words, "sort": "name"})
    return [row["name"] for row in answer.json()["data"]]


async def test_prices_are_normalized_and_have_a_default(client: httpx.AsyncClient) -> None:
    owner = (await create_account(client))["id"]
    sent = [item_body(owner, price=price) for price in (5, "7.5", None, 0.29)]
    del sent[0]["price"]
    rows = (await send(client, ENTRY, "Create", sent)).json()["data"]
    assert [row["price"] for row in rows] == ["0.00", "7.50", "0.00", "0.29"]
    changes: list[Row] = [{"id": row["id"], "price": None} for row in rows[1:3]]
    changes.append({"id": rows[3]["id"], "price": "0.29"})
    changed = (await send(client, ENTRY, "Update", changes)).json()["data"]
    assert [(row["price"], row["version"]) for row in changed] == [
        ("0.00", 2),
        ("0.00", 1),
        ("0.29", 1),
    ]


async def test_are_found_by_their_words(client: httpx.AsyncClient) -> None:
    owner = (await create_account(client))["id"]
    texts = [("a", "Brass lamp"), ("b", None), ("c", "Straße 東京都")]
    sent = [item_body(owner, name=name, description=text) for name, text in texts]
    rows = (await send(client, ENTRY, "Create", sent)).json()["data"]
    assert await found(client, "LAMP brass") == ["a"]
    assert await found(client, "京都") == ["c"]
    changes = [
        {"id": rows[0]["id"], "description": None},
        {"id": rows[1]["id"], "description": "Brass lamp"},
        {"id": rows[2]["id"], "name": "d lamp"},
    ]
    await send(client, ENTRY, "Update", changes)
    assert await found(client, "lamp") == ["b", "d lamp"]
    assert await found(client, "strasse lamp") == ["d lamp"]


async def test_move_to_other_owners(client: httpx.AsyncClient) -> None:
    rows = await create(client, ENTRY, 3)
    other = (await create_account(client))["id"]
    changes: list[Row] = [{"id": row["id"], "account_id": other} for row in rows[:2]]
    await send(client, ENTRY, "Update", changes)
    answer = await client.get(f"/accounts/{other}/items", params={"sort": "created"})
    assert answer.json()["data"] == await stored(client, ENTRY, rows[:2])
    owners = [rows[0]["account_id"], other]
    answer = await send(
        client, entry_of("/accounts"), "Delete", [{"id": owner} for owner in owners]
    )
    assert_problem(answer, 409, "account_has_items", at_rows({"/id": "account_has_items"}, 0, 1))


async def test_others_have_their_turn_after_each_row_that_takes_long(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = (await create_account(client))["id"]
    turns = LoopTurns()
    make_turns_last(1, monkeypatch)
    large: Counter[int] = Counter()
    words = search_words.words

    def count(text: str) -> str:
        large[turns.number] += len(text) > 1000
        return words(text)

    monkeypatch.setattr(search_words, "words", count)
    sent = [item_body(owner, description="x" * 10_000) for _ in range(20)]
    answer = await send(client, ENTRY, "Create", sent)
    assert answer.status_code == 201, answer.text
    changes = [{"id": row["id"], "description": "y" * 10_000} for row in answer.json()["data"]]
    answer = await send(client, ENTRY, "Update", changes)
    turns.stop()
    assert answer.status_code == 200, answer.text
    assert large.total() == 40
    assert max(large.values()) == 1
