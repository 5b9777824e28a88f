"""Conditional writes: how many statements they cost, and what they say when they come too late."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.accounts.service import ACCOUNTS
from app.errors import AccountNotFound, PreconditionRequired, StaleVersion
from app.resources.preconditions import Precondition
from app.resources.writes import delete, update
from tests.catalog import Entry, every_resource
from tests.factories import create_account, create_item


def kinds_of(statements: list[str]) -> list[str]:
    return [statement.split()[0] for statement in statements]


@every_resource
class TestStatements:
    """What an operation costs the database."""

    async def test_create_is_one(
        self, entry: Entry, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        body = await entry.valid_body(client)
        statements.clear()
        assert (await client.post(entry.path, json=body)).status_code == 201
        assert kinds_of(statements) == ["INSERT"]

    async def test_retrieve_is_one(
        self, entry: Entry, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{entry.path}/{(await entry.create(client))['id']}"
        for headers, status in (({}, 200), ({"If-None-Match": '"1"'}, 304)):
            statements.clear()
            assert (await client.get(url, headers=headers)).status_code == status
            assert kinds_of(statements) == ["SELECT"]

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_write_is_one_and_two_where_nothing_is_to_be_written(
        self, method: str, entry: Entry, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        body = await entry.valid_body(client)
        url = f"{entry.path}/{(await client.post(entry.path, json=body)).json()['id']}"
        changed = {**body, **entry.changes}
        for tag, status, kinds in (
            ('"1"', 200, ["UPDATE"]),
            ('"2"', 200, ["UPDATE", "SELECT"]),  # these values already
            # Each reference is looked up: an unknown one would be told before the stale version.
            ('"1"', 412, ["UPDATE", *["SELECT"] * len(entry.parents()), "SELECT"]),
        ):
            statements.clear()
            answer = await client.request(method, url, json=changed, headers={"If-Match": tag})
            assert answer.status_code == status
            assert kinds_of(statements) == kinds

    async def test_an_empty_patch_is_one(
        self, entry: Entry, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{entry.path}/{(await entry.create(client))['id']}"
        statements.clear()
        assert (await client.patch(url, json={})).status_code == 200
        assert kinds_of(statements) == ["SELECT"]

    async def test_delete_is_one_and_two_where_nothing_is_deleted(
        self, entry: Entry, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        url = f"{entry.path}/{(await entry.create(client))['id']}"
        for tag, status, kinds in (
            ('"2"', 412, ["DELETE", "SELECT"]),
            ('"1"', 204, ["DELETE"]),
            ('"1"', 404, ["DELETE", "SELECT"]),
        ):
            statements.clear()
            assert (await client.delete(url, headers={"If-Match": tag})).status_code == status
            assert kinds_of(statements) == kinds


class TestCascade:
    async def test_is_three(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        item = await create_item(client)
        statements.clear()
        url = f"/accounts/{item['account_id']}?cascade=true"
        assert (await client.delete(url)).status_code == 204
        assert kinds_of(statements) == ["SELECT", "DELETE", "DELETE"]
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
    async def account_id(self, client: httpx.AsyncClient) -> UUID:
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
            await update(session, ACCOUNTS, account_id, {"username": "bob"}, awaited)
        assert problem.value.headers == {"ETag": '"2"'}

    async def test_an_update_whose_values_another_wrote_is_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2, username = 'bob'")
        awaited = Precondition(frozenset({2}))
        row = await update(session, ACCOUNTS, account_id, {"username": "bob"}, awaited)
        assert (row["username"], row["version"]) == ("bob", 2)

    async def test_an_update_without_condition_answers_what_is_there(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2, username = 'eve'")
        row = await update(session, ACCOUNTS, account_id, {"username": "ada"}, Precondition())
        assert (row["username"], row["version"]) == ("eve", 2)

    async def test_a_delete_that_looked_too_early_does_not_pass_for_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        session = interrupted("version = 2")
        with pytest.raises(StaleVersion) as problem:
            await delete(session, ACCOUNTS, account_id, Precondition(frozenset({2})))
        assert problem.value.headers == {"ETag": '"2"'}

    @pytest.mark.parametrize("write", [update, delete])
    async def test_a_version_that_became_good_too_late_does_not_pass_for_done(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession], write: Any
    ) -> None:
        values = [{"username": "bob"}] if write is update else []
        session = interrupted("version = 2, username = 'eve'")
        condition = Precondition(excluded=frozenset({1}))
        with pytest.raises(StaleVersion) as problem:
            await write(session, ACCOUNTS, account_id, *values, condition)
        assert problem.value.headers == {"ETag": '"2"'}

    async def test_a_row_that_came_too_late_for_a_delete_was_not_there(
        self, account_id: UUID, interrupted: Callable[[str], AsyncSession]
    ) -> None:
        late = uuid4()
        session = interrupted(f"id = '{late}'")
        with pytest.raises(AccountNotFound):
            await delete(session, ACCOUNTS, late, Precondition())


class TestPrecondition:
    def test_any_version_will_do_unless_said(self) -> None:
        Precondition().require(7)
        Precondition(frozenset({7})).require(7)
        with pytest.raises(StaleVersion) as problem:
            Precondition(frozenset({6, 8})).require(7)
        assert problem.value.headers == {"ETag": '"7"'}

    def test_an_excluded_version_will_not_do(self) -> None:
        Precondition(excluded=frozenset({6, 8})).require(7)
        for condition in (
            Precondition(excluded=frozenset({7})),
            Precondition(excluded=None),
            Precondition(frozenset({7}), frozenset({7})),
            Precondition(excluded=frozenset({7})).narrowed_to(7),
        ):
            with pytest.raises(StaleVersion):
                condition.require(7)

    def test_one_that_is_required_and_missing(self) -> None:
        with pytest.raises(PreconditionRequired):
            Precondition(missing=True).require(7)

    def test_a_version_fills_in_for_a_missing_one(self) -> None:
        assert Precondition(missing=True).narrowed_to(7) == Precondition(frozenset({7}))
        assert Precondition(frozenset({6, 7})).narrowed_to(7) == Precondition(frozenset({7}))
        assert Precondition(frozenset({6})).narrowed_to(7) == Precondition(frozenset())
