"""Rows that many requests insert in one statement; each request keeps its own outcome."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, Engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.accounts.service import ACCOUNTS
from app.errors import EmailTaken, UnknownAccount
from app.items.service import ITEMS
from app.postgres import coalescing as batches
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from app.resources.inserts import create
from app.resources.resource import Resource
from tests.applications import client_of
from tests.environment import assert_ran
from tests.factories import account_body, create_account, item_body
from tests.locks import held_up
from tests.waiting import come

pytestmark = pytest.mark.usefixtures("none_is_slow")


@pytest.fixture
def app(committed_app: FastAPI) -> FastAPI:
    return committed_app


@pytest.fixture
def statements(app: FastAPI) -> Statements:
    statements: Statements = app.state.statements
    return statements


@pytest.fixture
def ran() -> Iterator[list[str]]:
    """The statements that insert, as they run."""
    seen: list[str] = []

    def record(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    yield seen
    event.remove(Engine, "before_cursor_execute", record)


def account(name: str, **changed: Any) -> dict[str, Any]:
    email = f"{name}@example.com"
    fields = {"email": email, "email_key": email, "username": name, "dob": None}
    return {**fields, "country": None, "phone_number": None, **changed}


def item(owner: UUID) -> dict[str, Any]:
    fields = {"name": "Lamp", "price": Decimal(5), "description": None}
    return {**fields, "account_id": owner, "image_link": "http://example.com/"}


async def insert_row(
    statements: Statements, resource: Resource[Any], row: dict[str, Any]
) -> dict[str, Any]:
    """The row, inserted by a request of its own."""
    async with request_session(statements) as session:
        inserted: dict[str, Any] = await create(session, resource, row)
        return inserted


async def insert_all(statements: Statements, *rows: dict[str, Any]) -> list[Any]:
    """What becomes of accounts that are inserted at once: the username, or what was raised."""

    async def insert(row: dict[str, Any]) -> Any:
        try:
            return (await insert_row(statements, ACCOUNTS, row))["username"]
        except Exception as error:
            return type(error)

    return await asyncio.gather(*map(insert, rows))


async def test_a_lone_row_waits_for_nobody(statements: Statements, ran: list[str]) -> None:
    assert await insert_all(statements, account("ada")) == ["ada"]
    assert_ran(ran, 1)


async def test_rows_gather_while_statements_are_under_way(
    statements: Statements, ran: list[str]
) -> None:
    names = [f"n{number}" for number in range(50)]
    assert await insert_all(statements, *map(account, names)) == names
    assert_ran(ran, 2)  # the first came alone
    assert await statements.scalar(text("SELECT count(*) FROM accounts")) == 50


async def test_of_equal_ones_one_is_inserted(statements: Statements, ran: list[str]) -> None:
    rows = [account("ada", username=str(number)) for number in range(20)]
    found = await insert_all(statements, *rows, account("bob"))
    assert found.count(EmailTaken) == 19
    assert found[-1] == "bob"
    assert_ran(ran, 2)  # none was tried again


async def test_a_row_that_fails_takes_no_other_along(
    statements: Statements, ran: list[str]
) -> None:
    rows = [account(f"n{number}") for number in range(10)]
    rows[5]["country"] = "nowhere"  # no service lets this through: a rule of the table refuses it
    found = await insert_all(statements, *rows)
    assert found[5] is IntegrityError
    assert found[:5] + found[6:] == [f"n{n}" for n in range(10) if n != 5]
    assert await statements.scalar(text("SELECT count(*) FROM accounts")) == 9


async def test_a_lost_connection_is_told_and_nothing_is_tried_again(
    statements: Statements, ran: list[str]
) -> None:
    await statements.execute(
        text(
            "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
    )
    await statements.execute(
        text(
            "CREATE TRIGGER leave BEFORE INSERT ON accounts FOR EACH ROW"
            " WHEN (NEW.username = 'n5') EXECUTE FUNCTION leave()"
        )
    )
    found = await insert_all(statements, *(account(f"n{number}") for number in range(10)))
    assert found[0] == "n0"  # it came alone
    assert all(issubclass(one, DBAPIError) for one in found[1:])
    assert_ran(ran, 2)


async def test_two_statements_with_the_same_rows_wait_in_one_direction(
    statements: Statements,
) -> None:
    """Without an order, each would hold what the other waits for."""
    names = [f"n{number:02}" for number in range(40)]
    for turn in range(5):
        there, back = (
            insert_all(statements, *(account(f"{turn}-{name}") for name in order))
            for order in (names, names[::-1])
        )
        found = [one for many in await asyncio.gather(there, back) for one in many]
        assert found.count(EmailTaken) == len(names)


async def test_an_item_of_nobody_is_refused_and_costs_the_others_nothing(
    app: FastAPI, statements: Statements, ran: list[str]
) -> None:
    async with client_of(app) as client:
        owner = UUID((await create_account(client))["id"])
    ran.clear()
    owners = [owner, uuid4(), owner, owner, uuid4(), owner]

    async def insert(owner: UUID) -> bool:
        try:
            return bool((await insert_row(statements, ITEMS, item(owner)))["account_id"] == owner)
        except UnknownAccount:
            return False

    found = await asyncio.gather(*map(insert, owners))
    assert found == [True, False, True, True, False, True]
    assert_ran(ran, 2)


async def test_one_that_waits_for_a_lock_holds_the_others_up_once(
    app: FastAPI, statements: Statements, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SLOW_SECONDS", 0.1)
    async with client_of(app) as client:
        locked, free = [UUID((await create_account(client))["id"]) for _ in range(2)]
    lock = text("SELECT id FROM accounts WHERE id = :id FOR UPDATE")

    async def insert(owner: UUID) -> bool:
        return bool((await insert_row(statements, ITEMS, item(owner)))["account_id"] == owner)

    async with request_session(statements) as session:
        await session.execute(lock, {"id": locked})
        blocked = [asyncio.create_task(insert(locked)) for _ in range(3)]
        await held_up(database, 2)  # the first came alone
        others = await come(asyncio.gather(*(insert(free) for _ in range(5))))
        assert others == [True] * 5
        assert not any(task.done() for task in blocked)
    assert await asyncio.gather(*blocked) == [True] * 3


async def test_a_caller_that_goes_away_takes_no_other_along(statements: Statements) -> None:
    tasks = [
        asyncio.create_task(insert_row(statements, ACCOUNTS, account(f"n{number}")))
        for number in range(6)
    ]
    await asyncio.sleep(0)
    tasks[4].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[4], asyncio.CancelledError)
    assert [row["username"] for row in found if isinstance(row, dict)] == [
        f"n{number}" for number in range(6) if number != 4
    ]


async def test_over_http_each_gets_its_own_answer(app: FastAPI) -> None:
    async with client_of(app) as client:
        owner = (await create_account(client))["id"]
        accounts = [account_body(email=f"p{number % 10}@example.com") for number in range(20)]
        items = [item_body(owner if number % 2 else str(uuid4())) for number in range(10)]
        sent = [client.post("/accounts", json=body) for body in accounts]
        sent += [client.post("/items", json=body) for body in items]
        answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers[:20]) == [201] * 10 + [409] * 10
    for answer, body in zip(answers[:20], accounts, strict=True):
        assert answer.status_code == 409 or answer.json()["email"] == body["email"]
    assert [answer.status_code for answer in answers[20:]] == [422, 201] * 5
