"""What PostgreSQL writes for pages is what Pydantic writes for a resource alone."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.catalog import Entry, List, every_list, rows_of
from tests.factories import create_account, create_item

TEXTS = [
    "plain",
    'quotes " and \\ backslashes',
    "tab\tand\nline",
    "é 𝄞 \u2028.",
    "</script>",
    "\x7f\x01",
]
INSTANTS = ["2026-01-31 09:30:00+00", "2026-01-31 09:30:00.1+14", "0999-12-31 23:59:59.000001+00"]


def rows_in(page: bytes) -> bytes:
    return page.removeprefix(b'{"data":[').partition(b'],"next_cursor"')[0]


@every_list
async def test_each_is_the_same_bytes(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> None:
    rows = await entry.insert(
        connection, [{"created": one, "updated": one} for one in INSTANTS] * 5, parents=1
    )
    path, _, own = rows_of(each, rows)
    alone = [await client.get(f"{entry.path}/{row['id']}") for row in own]
    assert all(one.status_code == 200 for one in alone)
    page = await client.get(path, params={"sort": "created", "limit": 200})
    in_order = sorted(alone, key=lambda one: (one.json()["created"], one.json()["id"]))
    assert rows_in(page.content) == b",".join(one.content for one in in_order)
    assert all(len(one.json()["created"]) == len("2026-01-31T09:30:00.000000Z") for one in alone)


@every_list
@pytest.mark.parametrize("words", TEXTS)
async def test_texts_are_the_same_bytes(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List, words: str
) -> None:
    """Those that the API refuses today, too: they may be stored."""
    (row,) = await entry.insert(connection, [dict.fromkeys(entry.texts, words)])
    alone = await client.get(f"{entry.path}/{row['id']}")
    assert [alone.json()[name] for name in entry.texts] == [words] * len(entry.texts)
    path, _, _ = rows_of(each, [row])
    assert rows_in((await client.get(path)).content) == alone.content


async def test_links_hold_the_same_bytes(client: httpx.AsyncClient) -> None:
    item = await create_item(client)
    account = await create_account(client)
    target = f"/accounts/{account['id']}/wishes/{item['id']}"
    await client.put(target, json={"note": 'a "note"'})
    alone = (await client.get(target)).content
    assert rows_in((await client.get(f"/accounts/{account['id']}/wishes")).content) == alone
