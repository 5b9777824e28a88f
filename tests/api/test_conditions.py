"""If-Match guards writes, If-None-Match spares reads what the client has."""

import time

import httpx2
import pytest
from fastapi import FastAPI

from app.api.conditions import MAX_TAGS, _parse_tags
from app.errors import MalformedHeader
from tests.api.cases import UNKNOWN
from tests.conftest import client_of, make_settings
from tests.edge.answers import assert_problem
from tests.factories import account_body, create_account, create_item

MALFORMED = [
    "",
    "3",
    '"',
    '"1',
    '1"',
    "W/1",
    'w/"1"',
    '"1" "2"',
    '"1"x',
    ",",
    "*, *",
    '*, "1"',
    "\xa0*",
]
LONG_LIST = ",".join(f'"{number}"' for number in range(1, MAX_TAGS + 1))

malformed = pytest.mark.parametrize("tags", MALFORMED)


class TestIfNoneMatch:
    @pytest.mark.parametrize(
        "tags",
        [
            '"1"',
            'W/"1"',
            "*",
            " * ",
            '"7", "1"',
            ',,"7" ,\t"1",',
            '"x","1"',
            LONG_LIST,
        ],
    )
    async def test_the_current_version_is_not_sent_again(
        self, client: httpx2.AsyncClient, tags: str
    ) -> None:
        for path in await paths(client):
            answer = await client.get(path, headers={"If-None-Match": tags})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == '"1"'

    @pytest.mark.parametrize("tags", ['"2"', '"01"', '""', '"*"', 'W/"*"', '"10"', '"W/1"'])
    async def test_another_version_is_sent(self, client: httpx2.AsyncClient, tags: str) -> None:
        for path in await paths(client):
            assert (await client.get(path, headers={"If-None-Match": tags})).status_code == 200

    @malformed
    async def test_a_malformed_list_is_refused(self, client: httpx2.AsyncClient, tags: str) -> None:
        headers = [(b"If-None-Match", tags.encode("latin-1"))]
        for path in await paths(client):
            answer = await client.get(path, headers=headers)
            assert_problem(answer, 400, "malformed_header", {"If-None-Match:": "invalid_format"})

    async def test_several_lines_are_one_list(self, client: httpx2.AsyncClient) -> None:
        (path, _) = await paths(client)
        lines = [("If-None-Match", '"7"'), ("If-None-Match", '"1"')]
        assert (await client.get(path, headers=lines)).status_code == 304

    async def test_what_is_not_there_is_not_found(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get(f"/items/{UNKNOWN}", headers={"If-None-Match": "*"})
        assert_problem(answer, 404, "item_not_found", {})


async def paths(client: httpx2.AsyncClient) -> tuple[str, str]:
    """A new item and its owner."""
    item = await create_item(client)
    return f"/items/{item['id']}", f"/accounts/{item['account_id']}"


class TestIfMatch:
    @pytest.mark.parametrize("tags", ['"1"', "*", '"7", "1"', ', "1",', 'W/"1", "1"', LONG_LIST])
    async def test_a_write_of_the_current_version_goes_through(
        self, client: httpx2.AsyncClient, tags: str
    ) -> None:
        account = await create_account(client)
        path, headers = f"/accounts/{account['id']}", {"If-Match": tags}
        answer = await client.patch(path, json={"username": "a"}, headers=headers)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        item = await create_item(client)
        assert (await client.delete(f"/items/{item['id']}", headers=headers)).status_code == 204

    @pytest.mark.parametrize(
        "tags",
        [
            '"7"',
            'W/"1"',
            '"01"',
            '"1.0"',
            '""',
            '"*"',
            '"2147483648"',
            '"9999999999"',
            '"' + "9" * 99 + '"',
        ],
    )
    async def test_a_write_of_another_version_is_stale_and_told_the_current_one(
        self, client: httpx2.AsyncClient, tags: str
    ) -> None:
        account = await create_account(client)
        path, headers = f"/accounts/{account['id']}", {"If-Match": tags}
        for method, body in (("PUT", account_body()), ("PATCH", {}), ("DELETE", None)):
            answer = await client.request(method, path, json=body, headers=headers)
            assert_problem(answer, 412, "stale_version", {})
            assert answer.headers["etag"] == '"1"'
        assert (await client.get(path)).json() == account

    @malformed
    async def test_a_malformed_list_is_refused(self, client: httpx2.AsyncClient, tags: str) -> None:
        headers = [(b"If-Match", tags.encode("latin-1"))]
        path = f"/accounts/{UNKNOWN}"
        for method, body in (("PUT", account_body()), ("PATCH", {}), ("DELETE", None)):
            answer = await client.request(method, path, json=body, headers=headers)
            assert_problem(answer, 400, "malformed_header", {"If-Match:": "invalid_format"})

    async def test_an_unknown_id_is_not_found(self, client: httpx2.AsyncClient) -> None:
        for tags in ("*", '"1"'):
            answer = await client.delete(f"/accounts/{UNKNOWN}", headers={"If-Match": tags})
            assert_problem(answer, 404, "account_not_found", {})

    async def test_reads_and_links_ignore_it(self, client: httpx2.AsyncClient) -> None:
        item = await create_item(client)
        account = f"/accounts/{item['account_id']}"
        headers = {"If-Match": '"7"'}
        assert (await client.get(account, headers=headers)).status_code == 200
        body = {"item_id": item["id"]}
        answer = await client.put(f"{account}/favorite", json=body, headers=headers)
        assert answer.status_code == 201

    async def test_the_version_in_the_body_counts_too(self, client: httpx2.AsyncClient) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}"
        answer = await client.patch(path, json={"version": 7})
        assert_problem(answer, 412, "stale_version", {})
        both = await client.patch(path, json={"version": 1}, headers={"If-Match": '"7"'})
        assert_problem(both, 412, "stale_version", {})
        both = await client.patch(path, json={"version": 1}, headers={"If-Match": '"7", "1"'})
        assert both.json() == account


class TestRequired:
    """With REQUIRE_IF_MATCH no write goes unguarded."""

    @pytest.fixture
    async def client(self, app: FastAPI) -> httpx2.AsyncClient:
        app.state.settings = make_settings(require_if_match=True)
        return client_of(app)

    async def test_writes_without_a_condition_are_refused(self, client: httpx2.AsyncClient) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}"
        for method, body in (("PUT", account_body()), ("PATCH", {}), ("DELETE", None)):
            answer = await client.request(method, path, json=body)
            assert_problem(answer, 428, "precondition_required", {})
        assert (await client.get(path)).json() == account

    async def test_header_or_version_let_them_through(self, client: httpx2.AsyncClient) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}"
        assert (await client.put(path, json=account)).status_code == 200
        assert (await client.patch(path, json={"version": 1})).status_code == 200
        assert (await client.delete(path, headers={"If-Match": "*"})).status_code == 204

    async def test_an_unknown_id_is_not_found(self, client: httpx2.AsyncClient) -> None:
        answer = await client.delete(f"/accounts/{UNKNOWN}")
        assert_problem(answer, 404, "account_not_found", {})


@pytest.mark.parametrize(
    "tags",
    [
        '"1"' + " ,   " * 12_000 + "x",
        '"1"' + " " * 60_000 + "x",
        '"1", ' * 12_000 + "x",
        '"' * 60_000,
        f'{LONG_LIST}, "0"',
    ],
    ids=range(5),
)
def test_no_list_takes_long_to_refuse(tags: str) -> None:
    started = time.process_time()
    with pytest.raises(MalformedHeader):
        _parse_tags("If-Match", [tags])
    assert time.process_time() - started < 0.5
