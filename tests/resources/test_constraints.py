"""Violated constraints become problems, the expected ones and no others."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from app.errors import AccountNotFound, EmailTaken, UnknownAccount
from app.models import Account, Item
from app.resources.constraints import conflicts

PROBLEMS = {"uq_accounts_email_key": EmailTaken, "fk_items_account_id": UnknownAccount}


async def insert_account(connection: AsyncConnection, **values: object) -> UUID:
    account_id: UUID = uuid7()
    email = f"{account_id}@example.com"
    row = {"id": account_id, "email": email, "email_key": email, "username": "ada", **values}
    await connection.execute(insert(Account).values(row))
    return account_id


async def insert_item(connection: AsyncConnection, owner: UUID) -> None:
    row = {"id": uuid7(), "account_id": owner, "name": "Lamp", "image_link": "http://example.com"}
    await connection.execute(insert(Item).values(row))


class TestConflicts:
    async def test_name_the_problem_of_a_unique_constraint(
        self, connection: AsyncConnection
    ) -> None:
        await insert_account(connection, email_key="taken")
        with pytest.raises(EmailTaken) as problem, conflicts(PROBLEMS):
            await insert_account(connection, email_key="taken")
        assert isinstance(problem.value.__cause__, IntegrityError)

    async def test_name_the_problem_of_a_foreign_key(self, connection: AsyncConnection) -> None:
        with pytest.raises(UnknownAccount), conflicts(PROBLEMS):
            await insert_item(connection, uuid4())

    async def test_leave_other_constraints_alone(self, connection: AsyncConnection) -> None:
        expected = pytest.raises(IntegrityError, match="ck_accounts_username_length")
        with expected, conflicts(PROBLEMS):
            await insert_account(connection, username="")

    async def test_leave_what_has_no_constraint_alone(self, connection: AsyncConnection) -> None:
        with pytest.raises(IntegrityError, match="not-null"), conflicts(PROBLEMS):
            await insert_account(connection, username=None)

    async def test_leave_other_errors_and_successes_alone(
        self, connection: AsyncConnection
    ) -> None:
        with pytest.raises(AccountNotFound), conflicts(PROBLEMS):
            raise AccountNotFound
        with conflicts(PROBLEMS):
            await insert_item(connection, await insert_account(connection))
