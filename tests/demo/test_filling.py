"""Demo data in a database: the API would have stored it so, and it goes where it may only."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from app.demo import DemoError, Existing
from app.demo.filling import BATCH_ROWS, fill
from tests.applications import client_of, running_app
from tests.databases import CloneDatabase
from tests.locks import held_up
from tests.waiting import come

TABLES = ("accounts", "items", "favorites", "reservations", "wishes")
# What is stored, but for the ids and instants that each database has its own of.
STORED = (
    """SELECT email, email_key, username, dob, country, phone_number, version
    FROM accounts ORDER BY 1""",
    """SELECT email, image_link, name, price, description, name_words, description_words,
    items.version FROM items JOIN accounts ON accounts.id = account_id ORDER BY 2""",
    *(
        f"""SELECT email, image_link, {note} FROM {table} JOIN accounts ON accounts.id = account_id
        JOIN items ON items.id = item_id ORDER BY 1, 2"""
        for table, note in (("favorites", "1"), ("reservations", "1"), ("wishes", "note"))
    ),
)


async def fill_database(
    database: URL, accounts: int, items: int, seed: int = 1, existing: Existing = "refuse"
) -> dict[str, int]:
    engine = create_async_engine(database, poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        return {**await fill(session, accounts=accounts, items=items, seed=seed, existing=existing)}


async def select_all(database: URL, *statements: str) -> list[Sequence[Any]]:
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.connect() as connection:
        return [(await connection.execute(text(one))).all() for one in statements]


async def all_rows(database: URL) -> list[Sequence[Any]]:
    return await select_all(database, *(f"SELECT * FROM {table} ORDER BY 1, 2" for table in TABLES))


async def pages(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """All of a list, the oldest first."""
    rows, query = [], {"limit": "200", "sort": "created"}
    while True:
        page = (await client.get(path, params=query)).raise_for_status().json()
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        query["cursor"] = page["next_cursor"]


async def test_the_api_takes_each_row_and_stores_it_alike(clone_database: CloneDatabase) -> None:
    async with clone_database() as filled, clone_database() as sent:
        added = await fill_database(filled, 150, 250)
        async with running_app(filled) as app, client_of(app) as client:
            accounts, items = [await pages(client, path) for path in ("/accounts", "/items")]
            links = {
                account["id"]: [
                    (await client.get(f"/accounts/{account['id']}/favorite")).json(),
                    (await client.get(f"/accounts/{account['id']}/reservation")).json(),
                    await pages(client, f"/accounts/{account['id']}/wishes"),
                ]
                for account in accounts
            }
        assert (len(accounts), len(items)) == (added["accounts"], added["items"]) == (150, 250)

        ids: dict[str, str] = {}
        async with running_app(sent) as app, client_of(app) as client:

            async def create(path: str, row: dict[str, Any]) -> None:
                system = ("id", "created", "updated", "version")
                body = {name: ids.get(row[name], row[name]) for name in row if name not in system}
                answer = await client.post(path, json=body)
                assert answer.status_code == 201, answer.text
                returned = answer.json()
                assert {name: returned[name] for name in body} == body
                assert returned["version"] == row["version"]
                ids[row["id"]] = returned["id"]

            async def put(path: str, body: dict[str, Any]) -> None:
                answer = await client.put(path, json=body)
                assert answer.status_code == 201, answer.text

            for account in accounts:
                await create("/accounts", account)
            for item in items:
                await create("/items", item)
            for owner, (favorite, reservation, wishes) in links.items():
                path = f"/accounts/{ids[owner]}"
                for name, link in (("favorite", favorite), ("reservation", reservation)):
                    if "item" in link:
                        await put(f"{path}/{name}", {"item_id": ids[link["item"]["id"]]})
                for wish in wishes:
                    await put(f"{path}/wishes/{ids[wish['item']['id']]}", {"note": wish["note"]})

        stored = await select_all(filled, *STORED)
        assert [len(rows) for rows in stored] == list(added.values())
        assert await select_all(sent, *STORED) == stored


async def test_a_seed_makes_the_same_rows_in_each_database(clone_database: CloneDatabase) -> None:
    async with clone_database() as one, clone_database() as same, clone_database() as other:
        for database, seed in ((one, 1), (same, 1), (other, 2)):
            await fill_database(database, 20, 50, seed)
        rows = await all_rows(one)
        assert await all_rows(same) == rows
        for table, others in zip(rows, await all_rows(other), strict=True):
            assert {row[0] for row in table}.isdisjoint(row[0] for row in others)


async def test_more_rows_than_a_statement_takes_are_all_stored(database: URL) -> None:
    added = await fill_database(database, BATCH_ROWS + 1, 2 * BATCH_ROWS)
    counts = await select_all(database, *(f"SELECT count(*) FROM {table}" for table in TABLES))
    assert added == {table: rows[0][0] for table, rows in zip(TABLES, counts, strict=True)}
    assert (added["accounts"], added["items"]) == (BATCH_ROWS + 1, 2 * BATCH_ROWS)


async def test_a_database_with_accounts_is_refused_or_kept_or_added_to(database: URL) -> None:
    await fill_database(database, 2, 2)
    rows = await all_rows(database)
    with pytest.raises(DemoError, match="--into-existing"):
        await fill_database(database, 2, 2, seed=2)
    assert await fill_database(database, 2, 2, seed=2, existing="keep") == {}
    with pytest.raises(DemoError, match="seed 1 already"):
        await fill_database(database, 5, 5, existing="add")
    assert await all_rows(database) == rows

    await fill_database(database, 3, 4, seed=2, existing="add")
    counts = [len(table) for table in await all_rows(database)]
    assert counts[:2] == [5, 6]


async def test_accounts_that_come_meanwhile_are_not_overlooked(database: URL) -> None:
    engine = create_async_engine(database, poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        await fill(session, accounts=1, items=1, seed=1, existing="refuse")
        second = asyncio.create_task(fill_database(database, 1, 1, seed=2))
        await held_up(database)
    with pytest.raises(DemoError, match="There are accounts"):
        await come(second)
