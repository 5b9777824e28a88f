"""The rules of links where requests meet: ends that come and go meanwhile, on real connections."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from app.errors import ItemNotFound
from app.links import service
from app.resources import reads
from app.resources.resource import Resource
from tests.factories import create_account, create_item
from tests.links.test_router import PUTS, link_of, pair, problem
from tests.locks import held_up


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("relation", PUTS)
class TestEndsThatGoMeanwhile:
    """The statement still finds what a transaction that has yet to commit deletes."""

    async def test_the_item(
        self,
        database: URL,
        committed_client: httpx.AsyncClient,
        engine: AsyncEngine,
        relation: str,
    ) -> None:
        account, item = await pair(committed_client)
        path, body = link_of(relation, account, item)
        async with engine.begin() as other:
            await other.execute(text("DELETE FROM items WHERE id = :id"), {"id": item["id"]})
            put = asyncio.create_task(committed_client.put(path, json=body))
            await held_up(database)
        assert problem(await put) == (404 if relation == "wish" else 422, "item_not_found")

    async def test_the_account(
        self,
        database: URL,
        committed_client: httpx.AsyncClient,
        engine: AsyncEngine,
        relation: str,
    ) -> None:
        account, item = await pair(committed_client)
        path, body = link_of(relation, account, item)
        async with engine.begin() as other:
            await other.execute(text("DELETE FROM accounts WHERE id = :id"), {"id": account["id"]})
            put = asyncio.create_task(committed_client.put(path, json=body))
            await held_up(database)
        assert problem(await put) == (404, "account_not_found")


@pytest.mark.parametrize("relation", PUTS)
@pytest.mark.parametrize(
    ("end", "headers", "status"),
    [
        ("commit", {}, 200),
        ("rollback", {}, 201),
        ("commit", {"If-None-Match": "*"}, 412),
        ("rollback", {"If-None-Match": "*"}, 201),
    ],
)
async def test_a_link_that_another_transaction_makes_meanwhile(
    database: URL,
    committed_client: httpx.AsyncClient,
    engine: AsyncEngine,
    relation: str,
    end: str,
    headers: dict[str, str],
    status: int,
) -> None:
    """The statement that waits for it does not see it."""
    account, item = await pair(committed_client)
    path, body = link_of(relation, account, item)
    table = "wishes" if relation == "wish" else f"{relation}s"
    making = text(f"INSERT INTO {table} (account_id, item_id) VALUES (:account, :item)")
    async with engine.connect() as other:
        await other.execute(making, {"account": account["id"], "item": item["id"]})
        put = asyncio.create_task(committed_client.put(path, json=body, headers=headers))
        await held_up(database)
        await getattr(other, end)()
    answer = await put
    assert answer.status_code == status, answer.text
    if status != 412:
        assert answer.json()["item"]["id"] == item["id"]


class TestPutReservation:
    async def test_requests_of_one_account_go_one_by_one(
        self, database: URL, committed_client: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        path, body = link_of("reservation", *await pair(committed_client))
        locked = text("SELECT FROM accounts WHERE id = :id FOR NO KEY UPDATE")
        async with engine.begin() as other:
            await other.execute(locked, {"id": path.split("/")[2]})
            put = asyncio.create_task(committed_client.put(path, json=body))
            await held_up(database)
        assert (await put).status_code == 201

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    async def test_waits_for_another_account_that_may_get_the_item(
        self, database: URL, committed_client: httpx.AsyncClient, engine: AsyncEngine, end: str
    ) -> None:
        account, item = await pair(committed_client)
        other = await create_account(committed_client)
        path, body = link_of("reservation", account, item)
        async with AsyncSession(engine) as session:
            await service.put_reservation(session, UUID(other["id"]), UUID(item["id"]))
            put = asyncio.create_task(committed_client.put(path, json=body))
            await held_up(database)
            await getattr(session, end)()
        if end == "commit":
            assert problem(await put) == (409, "item_already_reserved")
        else:
            assert (await put).status_code == 201


class TestPutWish:
    async def test_an_item_that_comes_after_the_statement(
        self,
        client: httpx.AsyncClient,
        connection: AsyncConnection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        account, item = await pair(client)
        account_id, item_id = UUID(account["id"]), UUID(item["id"])
        await connection.execute(text("CREATE TEMPORARY TABLE kept AS SELECT * FROM items"))
        await connection.execute(text("DELETE FROM items"))

        require = reads.require

        async def restore_and_require(
            session: AsyncSession, resource: Resource[Any], row_id: UUID
        ) -> None:
            await session.execute(
                text("INSERT INTO items SELECT * FROM kept ON CONFLICT DO NOTHING")
            )
            await require(session, resource, row_id)

        monkeypatch.setattr(reads, "require", restore_and_require)
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            with pytest.raises(ItemNotFound):
                await service.put_wish(session, account_id, item_id, "note")


TABLES = ("favorites", "reservations", "wishes")


class TestKinds:
    """What each relation is, stated by the database: no path around the API can break it."""

    @pytest.fixture
    async def ends(self, client: httpx.AsyncClient) -> dict[str, str]:
        """Two accounts and two items of the first."""
        accounts = [(await create_account(client))["id"] for _ in range(2)]
        items = [(await create_item(client, accounts[0]))["id"] for _ in range(2)]
        return dict(zip(("a1", "a2", "i1", "i2"), accounts + items, strict=True))

    @pytest.mark.parametrize(
        ("table", "links", "refused"),
        [
            # Many to one: of one account one, of one item many.
            ("favorites", ["a1 i1", "a2 i1"], None),
            ("favorites", ["a1 i1", "a1 i2"], "pk_favorites"),
            # One to one: of either end one.
            ("reservations", ["a1 i1", "a2 i2"], None),
            ("reservations", ["a1 i1", "a1 i2"], "pk_reservations"),
            ("reservations", ["a1 i1", "a2 i1"], "uq_reservations_item_id"),
            # Many to many: of either end many, of each pair one.
            ("wishes", ["a1 i1", "a1 i2", "a2 i1", "a2 i2"], None),
            ("wishes", ["a1 i1", "a1 i1"], "pk_wishes"),
            # Neither end may be unknown.
            *((table, ["i1 i2"], f"fk_{table}_account_id") for table in TABLES),
            *((table, ["a1 a2"], f"fk_{table}_item_id") for table in TABLES),
        ],
    )
    async def test_links(
        self,
        connection: AsyncConnection,
        ends: dict[str, str],
        table: str,
        links: list[str],
        refused: str | None,
    ) -> None:
        insert = text(f"INSERT INTO {table} (account_id, item_id) VALUES (:account, :item)")
        *earlier, last = [
            {"account": ends[account], "item": ends[item]}
            for account, item in (link.split() for link in links)
        ]
        for link in earlier:
            await connection.execute(insert, link)
        if refused is None:
            await connection.execute(insert, last)
        else:
            with pytest.raises(IntegrityError, match=refused):
                await connection.execute(insert, last)

    async def test_an_item_has_one_owner_who_is_known(
        self, connection: AsyncConnection, ends: dict[str, str]
    ) -> None:
        update = text("UPDATE items SET account_id = :owner WHERE id = :item")
        await connection.execute(update, {"owner": ends["a2"], "item": ends["i1"]})
        with pytest.raises(IntegrityError, match="fk_items_account_id"):
            await connection.execute(update, {"owner": ends["i2"], "item": ends["i1"]})

    async def test_an_account_that_owns_items_stays(
        self, connection: AsyncConnection, ends: dict[str, str]
    ) -> None:
        with pytest.raises(IntegrityError, match="fk_items_account_id"):
            await connection.execute(text("DELETE FROM accounts"))

    @pytest.mark.parametrize("table", TABLES)
    async def test_links_go_with_either_end(
        self, connection: AsyncConnection, ends: dict[str, str], table: str
    ) -> None:
        for end in ("DELETE FROM accounts WHERE id = :a2", "DELETE FROM items WHERE id = :i1"):
            await connection.execute(text("SAVEPOINT before"))
            insert = f"INSERT INTO {table} (account_id, item_id) VALUES (:a2, :i1)"
            values = {"a2": ends["a2"], "i1": ends["i1"]}
            await connection.execute(text(insert), values)
            name = end.split(":")[1]
            await connection.execute(text(end), {name: values[name]})
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
            await connection.execute(text("ROLLBACK TO before"))

    async def test_a_note_has_a_limit(
        self, connection: AsyncConnection, ends: dict[str, str]
    ) -> None:
        insert = text("INSERT INTO wishes VALUES (:account, :item, repeat('é', :length))")
        values = {"account": ends["a1"], "item": ends["i1"], "length": 1000}
        await connection.execute(insert, values)
        with pytest.raises(IntegrityError, match="ck_wishes_note_length"):
            await connection.execute(insert, {**values, "item": ends["i2"], "length": 1001})
