"""What PostgreSQL writes for pages is what Pydantic writes for a resource alone."""

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.factories import create_account, create_item

TEXTS = [
    "plain",
    'quotes " and \\ backslashes',
    "tab\tand\nline",
    "é 𝄞 \u2028",
    "</script>",
    "\x7f\x01",
]


def rows_of(page: bytes) -> bytes:
    return page.removeprefix(b'{"data":[').partition(b'],"next_cursor"')[0]


@pytest.mark.parametrize("words", TEXTS)
async def test_items_are_the_same_bytes(client: httpx2.AsyncClient, words: str) -> None:
    item = await create_item(client, name=words, description=words, price="0.10")
    alone = (await client.get(f"/items/{item['id']}")).content
    assert rows_of((await client.get("/items")).content) == alone
    owned = await client.get(f"/accounts/{item['account_id']}/items")
    assert rows_of(owned.content) == alone


@pytest.mark.parametrize("words", TEXTS)
@pytest.mark.parametrize("fields", [{}, {"dob": "1900-01-01", "country": "JO"}])
async def test_accounts_are_the_same_bytes(
    client: httpx2.AsyncClient, words: str, fields: dict[str, str]
) -> None:
    account = await create_account(client, username=words, **fields)
    alone = (await client.get(f"/accounts/{account['id']}")).content
    assert rows_of((await client.get("/accounts")).content) == alone


@pytest.mark.parametrize(
    "instant",
    ["2026-01-31 09:30:00+00", "2026-01-31 09:30:00.1+14", "0999-12-31 23:59:59.000001+00"],
)
async def test_instants_have_six_digits_and_z(
    client: httpx2.AsyncClient, connection: AsyncConnection, instant: str
) -> None:
    item = await create_item(client, description=None)
    await connection.execute(text(f"UPDATE items SET created = '{instant}'"))
    alone = await client.get(f"/items/{item['id']}")
    assert rows_of((await client.get("/items")).content) == alone.content
    assert len(alone.json()["created"]) == len("2026-01-31T09:30:00.000000Z")


async def test_links_hold_the_same_bytes(client: httpx2.AsyncClient) -> None:
    item = await create_item(client)
    account = await create_account(client)
    target = f"/accounts/{account['id']}/wishes/{item['id']}"
    await client.put(target, json={"note": 'a "note"'})
    alone = (await client.get(target)).content
    assert rows_of((await client.get(f"/accounts/{account['id']}/wishes")).content) == alone
