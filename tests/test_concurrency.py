"""Many requests at once, on connections of their own: the database decides, once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.databases import execute
from tests.factories import account_body, create_account, create_item, item_body
from tests.locks import held_up

MANY = 100


@pytest.fixture
def client(patient_client: httpx.AsyncClient) -> httpx.AsyncClient:
    return patient_client


async def at_once(*requests: Awaitable[httpx.Response]) -> Counter[int]:
    """How often each status was answered."""
    answers = await asyncio.gather(*requests)
    return Counter(answer.status_code for answer in answers)


class TestWrites:
    async def test_of_changes_with_one_etag_one_succeeds(self, client: httpx.AsyncClient) -> None:
        url = f"/accounts/{(await create_account(client))['id']}"
        statuses = await at_once(
            *(
                client.patch(url, json={"username": f"u{n}"}, headers={"If-Match": '"1"'})
                for n in range(MANY)
            )
        )
        assert statuses == {200: 1, 412: MANY - 1}
        assert (await client.get(url)).json()["version"] == 2

    async def test_of_replacements_with_one_version_one_succeeds(
        self, client: httpx.AsyncClient
    ) -> None:
        item = await create_item(client)
        url = f"/items/{item['id']}"
        statuses = await at_once(
            *(client.put(url, json={**item, "name": f"n{n}"}) for n in range(MANY))
        )
        assert statuses == {200: 1, 412: MANY - 1}
        assert (await client.get(url)).json()["version"] == 2

    async def test_without_condition_none_is_lost(self, client: httpx.AsyncClient) -> None:
        url = f"/accounts/{(await create_account(client))['id']}"
        statuses = await at_once(
            *(client.patch(url, json={"username": f"u{n}"}) for n in range(MANY))
        )
        assert statuses == {200: MANY}
        assert (await client.get(url)).json()["version"] == MANY + 1

    async def test_the_same_change_counts_once(self, client: httpx.AsyncClient) -> None:
        url = f"/accounts/{(await create_account(client))['id']}"
        statuses = await at_once(*(client.patch(url, json={"username": "u"}) for _ in range(MANY)))
        assert statuses == {200: MANY}
        assert (await client.get(url)).json()["version"] == 2

    async def test_of_deletions_one_succeeds(self, client: httpx.AsyncClient) -> None:
        url = f"/accounts/{(await create_account(client))['id']}"
        statuses = await at_once(*(client.delete(url) for _ in range(MANY)))
        assert statuses == {204: 1, 404: MANY - 1}


class TestUniqueEmails:
    async def test_of_accounts_with_one_email_one_is_created(
        self, client: httpx.AsyncClient
    ) -> None:
        emails = [
            "".join(c.upper() if n >> i & 1 else c for i, c in enumerate("straße")) + "@example.com"
            for n in range(MANY)
        ]
        statuses = await at_once(
            *(client.post("/accounts", json=account_body(email=email)) for email in emails)
        )
        assert statuses == {201: 1, 409: MANY - 1}
        assert len((await client.get("/accounts")).json()["data"]) == 1

    async def test_of_accounts_that_take_one_email_one_succeeds(
        self, client: httpx.AsyncClient
    ) -> None:
        accounts = [await create_account(client) for _ in range(20)]
        change = {"email": "wanted@example.com"}
        statuses = await at_once(
            *(client.patch(f"/accounts/{account['id']}", json=change) for account in accounts)
        )
        assert statuses == {200: 1, 409: 19}


class TestCascade:
    async def test_racing_with_new_items_leaves_no_orphan(self, client: httpx.AsyncClient) -> None:
        elsewhere = await create_account(client)
        for _ in range(5):
            account = await create_account(client)
            items = [await create_item(client, elsewhere["id"]) for _ in range(5)]
            url = f"/accounts/{account['id']}?cascade=true"
            body = item_body(account["id"])
            arriving = {"account_id": account["id"]}
            creations = [client.post("/items", json=body) for _ in range(20)]
            moves = [client.patch(f"/items/{item['id']}", json=arriving) for item in items]
            answers = await asyncio.gather(
                *creations[:10], *moves, client.delete(url), *creations[10:], client.delete(url)
            )
            statuses = [answer.status_code for answer in answers]
            assert set(statuses) <= {200, 201, 204, 404, 422}
            assert sorted(status for status in statuses if status in (204, 404)) == [204, 404]
            for answer in answers:
                if answer.status_code == 422:
                    assert answer.json()["code"] == "account_not_found"
            left = (await client.get("/items?limit=200")).json()["data"]
            assert all(item["account_id"] == elsewhere["id"] for item in left)
            lost = (item for item in answers if item.status_code in (200, 201))
            assert not {item.json()["id"] for item in lost} & {item["id"] for item in left}

    async def test_holds_its_account_against_items_to_come(
        self, client: httpx.AsyncClient, database: URL
    ) -> None:
        await execute(
            database,
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$",
            "CREATE TRIGGER dawdle AFTER DELETE ON items EXECUTE FUNCTION dawdle()",
        )
        account = await create_account(client)
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.begin() as lock:
            await lock.execute(text("SELECT pg_advisory_xact_lock(1)"))
            deletion = asyncio.create_task(client.delete(f"/accounts/{account['id']}?cascade=true"))
            await held_up(database)  # its items are gone, the account is not yet
            creation = asyncio.create_task(client.post("/items", json=item_body(account["id"])))
            await held_up(database, 2)
        assert (await creation).status_code == 422
        assert (await deletion).status_code == 204

    async def test_racing_without_cascade_is_either_first(self, client: httpx.AsyncClient) -> None:
        outcomes: Counter[tuple[Any, ...]] = Counter()
        for _ in range(20):
            account = await create_account(client)
            creation, deletion = await asyncio.gather(
                client.post("/items", json=item_body(account["id"])),
                client.delete(f"/accounts/{account['id']}"),
            )
            outcomes[creation.status_code, deletion.status_code] += 1
        assert set(outcomes) <= {(201, 409), (422, 204)}
