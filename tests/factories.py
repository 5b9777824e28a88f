"""Valid bodies, each with whatever a test wants to be different."""

import itertools
from typing import Any
from zlib import crc32

import httpx
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool
from uuid_utils.compat import uuid7

from app.auth.keys import create_key


class _Counter:
    numbers = itertools.count(1)


def restart_numbers(test: str) -> None:
    """Give this test the same numbers, whichever tests have run before it."""
    # Far apart, since tests may share a database, and with any remainder.
    _Counter.numbers = itertools.count(crc32(test.encode()) * 99_991)


def next_number() -> int:
    """A number that no other body was made with."""
    return next(_Counter.numbers)


def account_body(**fields: Any) -> dict[str, Any]:
    number = next_number()
    return {"email": f"person{number}@example.com", "username": f"person{number}", **fields}


def account_row(name: str) -> dict[str, Any]:
    """The values of an account's columns, for statements."""
    email = f"{name}@example.com"
    return {"id": uuid7(), "email": email, "email_key": email, "username": name}


def item_body(account_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "name": f"Item {next_number()}",
        "price": "19.90",
        "image_link": "https://example.com/item.jpg",
        **fields,
    }


async def create_account(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/accounts", json=account_body(**fields))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def create_item(
    client: httpx.AsyncClient, account_id: str | None = None, **fields: Any
) -> dict[str, Any]:
    owner = account_id or (await create_account(client))["id"]
    answer = await client.post("/items", json=item_body(owner, **fields))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def make_key(database: URL, scope: str) -> str:
    """An API key for a server of the mode testing."""
    engine = create_async_engine(database, poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        key = await create_key(session, "testing", f"key{next_number()}", scope, None)
    return key.secret
