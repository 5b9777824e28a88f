"""Histories: what holds whatever requests do at once or in between, on real connections."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import URL

from tests.applications import client_of, running_app
from tests.databases import execute
from tests.factories import account_body, create_account, create_item, item_body

pytestmark = pytest.mark.slow


def codes(answers: list[httpx.Response]) -> Counter[tuple[int, str | None]]:
    return Counter((answer.status_code, answer.json().get("code")) for answer in answers)


class TestAtOnce:
    @pytest.mark.parametrize("path", ["/accounts", "/items"])
    async def test_requests_with_one_key_have_one_effect(
        self, patient_client: httpx.AsyncClient, path: str
    ) -> None:
        if path == "/accounts":
            body = account_body()
        else:
            body = item_body((await create_account(patient_client))["id"])
        headers = {"Idempotency-Key": "one request"}
        posts = [patient_client.post(path, json=body, headers=headers) for _ in range(100)]
        answers = await asyncio.gather(*posts)
        made = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.content for answer in made}) == 1
        assert len({answer.headers["location"] for answer in made}) == 1
        assert len({answer.headers["etag"] for answer in made}) == 1
        fresh = [answer for answer in made if "idempotency-replayed" not in answer.headers]
        assert len(fresh) == 1
        rest = codes([answer for answer in answers if answer.status_code != 201])
        assert rest.keys() <= {(409, "idempotency_in_flight")}
        assert (await patient_client.get(path)).json()["data"] == [fresh[0].json()]

    async def test_accounts_that_want_one_item(self, patient_client: httpx.AsyncClient) -> None:
        for _ in range(5):
            item = await create_item(patient_client)
            accounts = [(await create_account(patient_client))["id"] for _ in range(20)]
            answers = await asyncio.gather(
                *(reserve(patient_client, account, item["id"]) for account in accounts)
            )
            assert codes(answers) == {(201, None): 1, (409, "item_already_reserved"): 19}
            winner = accounts[[answer.status_code for answer in answers].index(201)]
            held = await patient_client.get(f"/items/{item['id']}/reservation")
            assert held.json()["account"]["id"] == winner

    async def test_one_account_that_wants_many_items(
        self, patient_client: httpx.AsyncClient
    ) -> None:
        owner = (await create_account(patient_client))["id"]
        items = [(await create_item(patient_client, owner))["id"] for _ in range(20)]
        for _ in range(5):
            account = (await create_account(patient_client))["id"]
            answers = await asyncio.gather(
                *(reserve(patient_client, account, item) for item in items)
            )
            assert codes(answers) == {(201, None): 1, (409, "account_has_reservation"): 19}
            winner = items[[answer.status_code for answer in answers].index(201)]
            path = f"/accounts/{account}/reservation"
            held = await patient_client.get(path)
            assert held.json()["item"]["id"] == winner
            await patient_client.delete(path)

    async def test_everybody_wants_everything(self, patient_client: httpx.AsyncClient) -> None:
        accounts = [(await create_account(patient_client))["id"] for _ in range(5)]
        items = [(await create_item(patient_client, accounts[0]))["id"] for _ in range(5)]
        answers = await asyncio.gather(
            *(reserve(patient_client, account, item) for account in accounts for item in items)
        )
        outcomes = codes(answers)
        assert outcomes.keys() <= {
            (201, None),
            (409, "account_has_reservation"),
            (409, "item_already_reserved"),
        }
        held = []
        for account in accounts:
            answer = await patient_client.get(f"/accounts/{account}/reservation")
            if answer.status_code == 200:
                held.append(answer.json()["item"]["id"])
        assert len(held) == len(set(held)) == outcomes[201, None] >= 1


async def reserve(client: httpx.AsyncClient, account: str, item: str) -> httpx.Response:
    return await client.put(f"/accounts/{account}/reservation", json={"item_id": item})


class Walk:
    """One reader on its way through a list."""

    def __init__(self, path: str, sort: str, filters: dict[str, str], untouched: set[str]) -> None:
        self.path, self.sort = path, sort
        self.query = {"sort": sort, **filters}
        self.untouched = untouched  # rows that were there at the start, and are as they were
        self.seen: list[str] = []
        self.last: tuple[Any, str] | None = None
        self.ended = False

    def take(self, page: dict[str, Any]) -> None:
        key = self.sort.removeprefix("-")
        for row in page["data"]:
            position = Decimal(row[key]) if key == "price" else row[key], row["id"]
            if self.last is not None:
                earlier, later = sorted((self.last, position))
                assert earlier < later
                assert (later == position) != self.sort.startswith("-")
            self.last = position
            self.seen.append(row["id"])
        if page["next_cursor"] is None:
            self.ended = True
            for row_id in self.untouched:
                assert self.seen.count(row_id) == 1
        else:
            assert page["data"]
            self.query["cursor"] = page["next_cursor"]


WORDS = st.sampled_from(["a", "ab", "b", "Z", "é", "\U0001d11e"])
PRICES = st.sampled_from(["0.00", "1.00", "1.50", "10.00", "9999999999.99"])


class Lists(RuleBasedStateMachine):
    """Rows come, change and go while lists are walked; a dict is the model of each resource."""

    client: ClassVar[httpx.AsyncClient]
    runner: ClassVar[asyncio.Runner]
    database: ClassVar[URL]

    accounts = Bundle("accounts")
    items = Bundle("items")
    walks = Bundle("walks")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"accounts": {}, "items": {}}
        self.under_way: list[Walk] = []
        tables = ("items", "accounts")
        self.runner.run(execute(self.database, *(f"DELETE FROM {table}" for table in tables)))

    def send(self, request: Awaitable[httpx.Response]) -> httpx.Response:
        async def answer() -> httpx.Response:
            return await request

        return self.runner.run(answer())

    def touch(self, row_id: str) -> None:
        for walk in self.under_way:
            walk.untouched.discard(row_id)

    def insert(self, resource: str, body: dict[str, Any]) -> str:
        answer = self.send(self.client.post(f"/{resource}", json=body))
        assert answer.status_code == 201
        row_id: str = answer.json()["id"]
        self.rows[resource][row_id] = answer.json()
        return row_id

    def change(self, resource: str, row_id: str, body: dict[str, Any]) -> None:
        answer = self.send(self.client.patch(f"/{resource}/{row_id}", json=body))
        if row_id in self.rows[resource]:
            assert answer.status_code == 200
            if answer.json() != self.rows[resource][row_id]:
                self.touch(row_id)
            self.rows[resource][row_id] = answer.json()
        else:
            assert answer.status_code == 404

    def delete(self, resource: str, row_id: str) -> None:
        query = "?cascade=true" if resource == "accounts" else ""
        answer = self.send(self.client.delete(f"/{resource}/{row_id}{query}"))
        assert answer.status_code == (204 if row_id in self.rows[resource] else 404)
        self.touch(row_id)
        self.rows[resource].pop(row_id, None)
        for item_id, item in list(self.rows["items"].items()):
            if item["account_id"] == row_id:
                self.touch(item_id)
                del self.rows["items"][item_id]

    @initialize(target=items, names=st.lists(WORDS, min_size=4, max_size=8))
    def begin_with_items(self, names: list[str]) -> Any:
        owner = self.insert("accounts", account_body())
        return multiple(*(self.insert("items", item_body(owner, name=name)) for name in names))

    @rule(target=accounts, username=WORDS)
    def insert_account(self, username: str) -> str:
        return self.insert("accounts", account_body(username=username))

    @rule(target=items, owner=accounts, name=WORDS, price=PRICES)
    def insert_item(self, owner: str, name: str, price: str) -> Any:
        if owner not in self.rows["accounts"]:
            return multiple()
        return self.insert("items", item_body(owner, name=name, price=price))

    @rule(target=items, owner=accounts, names=st.lists(WORDS, min_size=3, max_size=6))
    def insert_items(self, owner: str, names: list[str]) -> Any:
        if owner not in self.rows["accounts"]:
            return multiple()
        return multiple(*(self.insert("items", item_body(owner, name=name)) for name in names))

    @rule(account=accounts, username=WORDS)
    def change_account(self, account: str, username: str) -> None:
        self.change("accounts", account, {"username": username})

    @rule(item=items, name=WORDS, price=PRICES)
    def change_item(self, item: str, name: str, price: str) -> None:
        self.change("items", item, {"name": name, "price": price})

    @rule(account=consumes(accounts))
    def delete_account(self, account: str) -> None:
        self.delete("accounts", account)

    @rule(item=consumes(items))
    def delete_item(self, item: str) -> None:
        self.delete("items", item)

    @rule(
        target=walks,
        key=st.sampled_from(["created", "updated", "username", "email"]),
        direction=st.sampled_from(["", "-"]),
        prefix=st.sampled_from(["", "a"]),
    )
    def walk_accounts(self, key: str, direction: str, prefix: str) -> Walk:
        return self.start("/accounts", direction + key, "username", prefix)

    @rule(
        target=walks,
        key=st.sampled_from(["created", "updated", "name", "price"]),
        direction=st.sampled_from(["", "-"]),
        prefix=st.sampled_from(["", "a"]),
    )
    def walk_items(self, key: str, direction: str, prefix: str) -> Walk:
        return self.start("/items", direction + key, "name", prefix)

    @rule(target=walks, owner=accounts, sort=st.sampled_from(["created", "-created", "-name"]))
    def walk_items_of_an_account(self, owner: str, sort: str) -> Any:
        if owner not in self.rows["accounts"]:
            return multiple()
        return self.start(f"/accounts/{owner}/items", sort, "name", "", owner=owner)

    def start(
        self, path: str, sort: str, field: str, prefix: str, owner: str | None = None
    ) -> Walk:
        untouched = {
            row_id
            for row_id, row in self.rows[path.rpartition("/")[2]].items()
            if row[field].startswith(prefix) and owner in (None, row.get("account_id"))
        }
        filters = {f"{field}_prefix": prefix} if prefix else {}
        self.under_way.append(Walk(path, sort, filters, untouched))
        return self.under_way[-1]

    @rule(walk=walks, limit=st.integers(1, 3), count=st.sampled_from(["none", "exact"]))
    def fetch_a_page(self, walk: Walk, limit: int, count: str) -> None:
        self.fetch(walk, limit, count)

    def fetch(self, walk: Walk, limit: int, count: str = "none") -> None:
        if walk.ended:
            return
        params = {**walk.query, "limit": str(limit), "count": count}
        answer = self.send(self.client.get(walk.path, params=params))
        if answer.status_code == 404:  # the account, with all its items
            assert not walk.untouched
            walk.ended = True
        else:
            assert answer.status_code == 200, answer.text
            walk.take(answer.json())

    def teardown(self) -> None:
        for walk in self.under_way:
            while not walk.ended:
                self.fetch(walk, 2)
        for resource, rows in self.rows.items():
            page = self.send(self.client.get(f"/{resource}?limit=200&sort=created")).json()
            assert {row["id"]: row for row in page["data"]} == rows


def test_a_walk_meets_each_row_that_stays_as_it_is_once(database: URL) -> None:
    with asyncio.Runner() as runner:
        running = running_app(database, pool_size=1)
        application = runner.run(running.__aenter__())
        Lists.client, Lists.runner, Lists.database = client_of(application), runner, database
        try:
            run_state_machine_as_test(
                Lists,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=30,
                    derandomize=True,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],  # what is found is short enough
                ),
            )
        finally:
            runner.run(Lists.client.aclose())
            runner.run(running.__aexit__(None, None, None))
