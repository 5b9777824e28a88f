"""Conditional writes: how many statements they cost, and what they say when they come too late."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.accounts.service import TARGET
from app.errors import AccountNotFound, PreconditionRequired, StaleVersion
from app.resources.writes import Precondition, delete_row, update_row
from tests.factories import account_body, create_account, create_item, item_body

PATHS = ["/accounts", "/items"]


async def create(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    return await (create_account(client) if path == "/accounts" else create_item(client))


def body_for(resource: dict[str, Any]) -> dict[str, Any]:
    owner = resource.get("account_id")
    return account_body() if owner is None else item_body(owner)


@pytest.mark.parametrize("path", PATHS)
class TestStatements:
    """What an operation costs the database."""

    async def test_create_is_one(
        self, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        body = body_for(await create(client, path))
        statements.clear()
        assert (await client.post(path, json=body)).status_code == 201
        assert [statement.split()[0] for statement in statements] == ["INSERT"]

    async def test_retrieve_is_one(
        self, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{path}/{(await create(client, path))['id']}"
        for headers, status in (({}, 200), ({"If-None-Match": '"1"'}, 304)):
            statements.clear()
            assert (await client.get(url, headers=headers)).status_code == status
            assert [statement.split()[0] for statement in statements] == ["SELECT"]

    async def test_list_is_one(
        self, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        for _ in range(3):
            await create(client, path)
        statements.clear()
        assert len((await client.get(f"{path}?limit=2")).json()["data"]) == 2
        assert [statement.split()[0] for statement in statements] == ["SELECT"]

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_write_is_one_and_two_where_nothing_is_to_be_written(
        self, method: str, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        resource = await create(client, path)
        url, body = f"{path}/{resource['id']}", body_for(resource)
        for tag, status, kinds in (
            ('"1"', 200, ["UPDATE"]),
            ('"2"', 200, ["UPDATE", "SELECT"]),  # these values already
            # An unknown owner would be told before the stale version.
            ('"1"', 412, ["UPDATE", "SELECT", "SELECT"][: 3 if path == "/items" else 2]),
        ):
            statements.clear()
            answer = await client.request(method, url, json=body, headers={"If-Match": tag})
            assert answer.status_code == status
            assert [statement.split()[0] for statement in statements] == kinds

    async def test_an_empty_patch_is_one(
        self, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{path}/{(await create(client, path))['id']}"
        statements.clear()
        assert (await client.patch(url, json={})).status_code == 200
        assert [statement.split()[0] for statement in statements] == ["SELECT"]

    async def test_delete_is_one_and_two_where_nothing_is_deleted(
        self, path: str, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{path}/{(await create(client, path))['id']}"
        for tag, status, kinds in (
            ('"2"', 412, ["DELETE", "SELECT"]),
            ('"1"', 204, ["DELETE"]),
            ('"1"', 404, ["DELETE", "SELECT"]),
        ):
            statements.clear()
            assert (await client.delete(url, headers={"If-Match": tag})).status_code == status
            assert [statement.split()[0] for statement in statements] == kinds


class TestCascade:
    async def test_is_three(self, client: httpx2.AsyncClient, statements: list[str]) -> None:
        item = await create_item(client)
        statements.clear()
        url = f"/accounts/{item['account_id']}?cascade=true"
        assert (await client.delete(url)).status_code == 204
        assert [statement.split()[0] for statement in statements] == ["SELECT", "DELETE", "DELETE"]
        assert statements[0].endswith("FOR UPDATE")


class InterruptedSession(AsyncSession):
    """A session behind whose first statement somebody else writes."""

    interrupt: Callable[[], Awaitable[object]] | None = None

    async def execute(self, *args: Any, **options: Any) -> Any:
        result = await super().execute(*args, **options)
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()
        return result


class TestRaces:
    """Between the statement that finds nothing to write and the one that asks why."""

    @pytest.fixture
    async def account_id(self, client: httpx2.AsyncClient) -> UUID:
        return UUID((await create_account(client, username="ada"))["id"])

    @pytest.fixture
    def interrupted(
        self, connection: AsyncConnection, account_id: UUID
    ) -> Callable[[str], AsyncSession]:
        """A session whose first statement is followed by this assignment to the account."""

        def make(assignment: str) -> AsyncSession:
            statement = text(f"UPDATE accounts SET {assignment} WHERE id = :id")
            session = InterruptedSession(connection, join_transaction_mode="create_savepoint")
            session.interrupt = lambda: connection.execute(statement, {"id": account_id})
            return session

        return make

    async def test_an_update_that_looked_too_early_does_not_pass_for_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2, username = 'eve'")
        awaited = Precondition(frozenset({2}))
        with pytest.raises(StaleVersion) as problem:
            await update_row(session, TARGET, account_id, {"username": "bob"}, awaited)
        assert problem.value.headers == {"ETag": '"2"'}

    async def test_an_update_whose_values_another_wrote_is_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2, username = 'bob'")
        awaited = Precondition(frozenset({2}))
        row = await update_row(session, TARGET, account_id, {"username": "bob"}, awaited)
        assert (row["username"], row["version"]) == ("bob", 2)

    async def test_an_update_without_condition_answers_what_is_there(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2, username = 'eve'")
        row = await update_row(session, TARGET, account_id, {"username": "ada"}, Precondition())
        assert (row["username"], row["version"]) == ("eve", 2)

    async def test_a_delete_that_looked_too_early_does_not_pass_for_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2")
        with pytest.raises(StaleVersion) as problem:
            await delete_row(session, TARGET, account_id, Precondition(frozenset({2})))
        assert problem.value.headers == {"ETag": '"2"'}

    async def test_a_row_that_came_too_late_for_a_delete_was_not_there(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        late = uuid4()
        session = interrupted(f"id = '{late}'")
        with pytest.raises(AccountNotFound):
            await delete_row(session, TARGET, late, Precondition())


class TestPrecondition:
    def test_any_version_will_do_unless_said(self) -> None:
        Precondition().require(7)
        Precondition(frozenset({7})).require(7)
        with pytest.raises(StaleVersion) as problem:
            Precondition(frozenset({6, 8})).require(7)
        assert problem.value.headers == {"ETag": '"7"'}

    def test_one_that_is_required_and_missing(self) -> None:
        with pytest.raises(PreconditionRequired):
            Precondition(missing=True).require(7)

    def test_a_version_fills_in_for_a_missing_one(self) -> None:
        assert Precondition(missing=True).narrowed_to(7) == Precondition(frozenset({7}))
        assert Precondition(frozenset({6, 7})).narrowed_to(7) == Precondition(frozenset({7}))
        assert Precondition(frozenset({6})).narrowed_to(7) == Precondition(frozenset())
