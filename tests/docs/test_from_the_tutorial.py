"""The page on moving in from the tutorial: its commands move the data, and its tables are true."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from sqlalchemy import URL

from app.errors import FaultCode, problem_types
from app.postgres.embedded import folders_with
from tests.docs import tutorial
from tests.docs.console import commands, open_shell
from tests.factories import account_body, create_account, create_item, item_body
from tests.pages import walk
from tests.servers import Server, server_environment

PAGE = (Path(__file__).parents[2] / "docs" / "from-the-tutorial.md").read_text()
CODES = {*get_args(FaultCode), *problem_types()}


def table(title: str) -> list[list[str]]:
    """The cells of the rows of the table under a heading."""
    text = re.split(rf"^##+ {title}$", PAGE, flags=re.MULTILINE)[1]
    lines = re.split(r"^##+ ", text, flags=re.MULTILINE)[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    assert len(rows) > 2
    return rows[2:]


def codes_in(cell: str) -> set[str]:
    return {*re.findall(r"`(\w+)`", cell)} & CODES


def codes_of(response: httpx.Response) -> set[str]:
    """The code of a problem, or those of the faults of an invalid request."""
    if not response.is_error:
        return set()
    problem = response.json()
    if problem["code"] == "invalid_request":
        return {fault["code"] for fault in problem["errors"]}
    return {problem["code"]}


def instant(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def expected(row: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """What Satchel should give of a row."""
    found = {"version": 1} | row | outcome
    for name in ("created", "updated"):
        found[name] = found[name] and instant(found[name])
    if isinstance(found.get("dob"), date):
        found["dob"] = found["dob"].isoformat()
    return found


@pytest.fixture
async def moved(
    database: URL,
    empty_database: URL,
    tmp_path: Path,
    start_server: Callable[..., Server],
) -> str:
    """The address of a server with the data that the page's commands moved."""
    await tutorial.make_database(empty_database)
    url = empty_database.set(drivername="postgresql").render_as_string(hide_password=False)
    page = PAGE.replace("postgresql://testuser:testpass@localhost:5432/testdb", url)
    programs = next(folders_with(("psql",), None))
    told = commands(page)
    assert len(told) > 8
    environment = server_environment(database)
    async with open_shell(tmp_path, programs, environment=environment) as shell:
        for command in told:
            await shell.require(command)
    server: Server = await asyncio.to_thread(start_server, environment)
    return server.url


@pytest.mark.slow
async def test_its_commands_move_every_row(moved: str) -> None:
    async with httpx.AsyncClient(base_url=moved) as client:
        for path, rows in (("/accounts", tutorial.ACCOUNTS), ("/items", tutorial.ITEMS)):
            wanted = [expected(row, outcome) for row, outcome in rows if outcome is not None]
            found = {row["id"]: row for row in (await walk(client, path, limit="5"))[0]}
            assert len(found) == len(wanted)
            for row in wanted:
                given = found[row["id"]]
                # Where the tutorial has no instant, Satchel makes it.
                made = [name for name in ("created", "updated") if row[name] is None]
                assert given == row | {name: given[name] for name in made}
                assert (await client.get(f"{path}/{row['id']}")).json() == given
        ada = json.dumps((await client.get(f"/accounts/{tutorial.ADA['id']}")).json())
        lamp = json.dumps((await client.get(f"/items/{tutorial.ITEMS[0][0]['id']}")).json())
    for fields, was, now in table("Fields"):
        for literal in re.findall(r'`("[^`]+"|\d+)`', now):
            assert f": {literal}" in (lamp if "price" in fields else ada)
        for literal in re.findall(r'`"(\w+, [^`]+ GMT)"`', was):
            stored = tutorial.ADA["created" if "created" in fields else "dob"]
            assert f"{stored:%a, %d %b %Y %H:%M:%S GMT}" == literal


REFUSED: dict[str, list[Any]] = {
    "email": ["@example.com"],
    "username": [" ", "a\nb"],
    "dob": ["1899-12-31", "2999-05-17"],
    "country": ["Kosovo", "XK", "983"],
    "phone_number": ["call me"],
    "name": [" "],
    "price": ["-1", "19.999", "1e+06", "10000000000", "Infinity"],
    "image_link": ["ftp://example.com/lamp.jpg", "a://b"],
    "account_id": [None],
}


async def test_it_lists_what_is_refused_by_field_and_code(client: httpx.AsyncClient) -> None:
    owner = await create_account(client, email="ada@example.com")
    seen: dict[str, set[str]] = {}
    for email in ("ADA@example.com", "ada@EXAMPLE.com"):
        response = await client.post("/accounts", json=account_body(email=email))
        seen["email"] = {fault["code"] for fault in response.json()["errors"]}
    for field, values in REFUSED.items():
        for value in values:
            is_account = field in owner
            body = account_body() if is_account else item_body(owner["id"])
            path = "/accounts" if is_account else "/items"
            response = await client.post(path, json={**body, field: value})
            [fault] = response.json()["errors"]
            assert fault["pointer"] == f"/{field}"
            seen.setdefault(field, set()).add(fault["code"])
    listed: dict[str, set[str]] = {}
    for field, _, codes, _ in table("What is refused, and what to do"):
        listed.setdefault(field.strip("`"), set()).update(codes_in(codes))
    assert listed == seen


async def test_other_countries_of_the_tutorial_are_taken(client: httpx.AsyncClient) -> None:
    for name, code in tutorial.COUNTRY_NAMES.items():
        for written in (name, name.upper()):
            assert (await create_account(client, country=written))["country"] == code


class Requests:
    """Sends requests of the table, and keeps what a row of it should say."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.statuses: set[str] = set()
        self.codes: set[str] = set()

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = await self.client.request(method, path, **options)
        self.statuses.add(str(response.status_code))
        self.codes |= codes_of(response)
        return response

    async def post_account(self, **fields: Any) -> httpx.Response:
        """In a form, with all fields of the tutorial but those that are None."""
        form = {"dob": "1990-05-17", "country": "Jordan", "phone_number": "0790000000"}
        body = {**form, **account_body(), **fields}
        return await self.send("POST", "/accounts", data=_given(body))

    async def put_account(self, account_id: str, **fields: Any) -> httpx.Response:
        body = {**account_body(), "country": "Jordan", **fields}
        return await self.send("PUT", f"/accounts/{account_id}", data=_given(body))

    async def post_item(self, **fields: Any) -> httpx.Response:
        owner = await create_account(self.client)
        return await self.send("POST", "/items", data=item_body(owner["id"]) | fields)


def _given(form: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in form.items() if value is not None}


NOBODY = "5bea1328-003c-4b38-bd20-447ef01f433b"


async def _root(requests: Requests) -> None:
    assert (await requests.send("GET", "/")).json()["message"] == "Hello World!"


async def _list(requests: Requests) -> None:
    ids = [(await create_account(requests.client))["id"] for _ in range(51)][::-1]
    page = (await requests.send("GET", "/accounts")).json()
    assert {*page} == {"data", "next_cursor", "count"}
    assert [row["id"] for row in page["data"]] == ids[:50]
    assert page["count"] is None
    query = {"cursor": page["next_cursor"]}
    rest = (await requests.send("GET", "/accounts", params=query)).json()
    assert [row["id"] for row in rest["data"]] == ids[50:]
    assert rest["next_cursor"] is None
    for limit, status in ((0, 422), (1, 200), (200, 200), (201, 422)):
        response = await requests.client.get("/accounts", params={"limit": limit})
        assert response.status_code == status


async def _create(requests: Requests) -> None:
    for response in (
        await requests.post_account(),
        await requests.send("POST", "/accounts", json=account_body()),
    ):
        assert response.headers["location"] == f"/accounts/{response.json()['id']}"
        assert response.headers["etag"] == '"1"'


async def _create_twice(requests: Requests) -> None:
    await create_account(requests.client, email="ada@example.com")
    await requests.post_account(email="ada@example.com")


async def _create_in_other_case(requests: Requests) -> None:
    await create_account(requests.client, email="ada@example.com")
    await requests.post_account(email="ADA@example.com")


async def _create_invalid(requests: Requests) -> None:
    response = await requests.post_account(email="nobody", country="Atlantis")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/email", "/country"]


async def _create_with_invalid_number(requests: Requests) -> None:
    await requests.post_account(phone_number="call me")


async def _create_with_empty(requests: Requests) -> None:
    body = (await requests.post_account(dob="", country="", phone_number="")).json()
    assert body["dob"] is body["country"] is body["phone_number"] is None


async def _create_without(requests: Requests) -> None:
    response = await requests.post_account(email=None, username=None)
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/email", "/username"]
    created = await create_account(requests.client)
    assert created["dob"] is created["country"] is created["phone_number"] is None


async def _create_with_unknown(requests: Requests) -> None:
    await requests.post_account(color="red")


async def _get(requests: Requests) -> None:
    path = f"/accounts/{(await create_account(requests.client))['id']}"
    etag = (await requests.send("GET", path)).headers["etag"]
    await requests.send("GET", path, headers={"If-None-Match": etag})


async def _unknown(requests: Requests) -> None:
    for account_id, status in ((NOBODY, 404), ("nobody", 422)):
        assert (await requests.send("GET", f"/accounts/{account_id}")).status_code == status
        assert (await requests.put_account(account_id)).status_code == status


async def _put(requests: Requests) -> None:
    created = await create_account(requests.client, dob="1990-05-17", country="JO")
    replaced = (await requests.put_account(created["id"], country=None)).json()
    assert replaced["dob"] is replaced["country"] is None
    response = await requests.put_account(created["id"], email=None, username=None)
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/email", "/username"]


async def _put_invalid(requests: Requests) -> None:
    await requests.put_account((await create_account(requests.client))["id"], email="nobody")


async def _patch(requests: Requests) -> None:
    created = await create_account(requests.client, country="JO")
    path = f"/accounts/{created['id']}"
    changed = (await requests.send("PATCH", path, json={"username": "lovelace"})).json()
    kept = {"username": "lovelace", "version": 2, "updated": changed["updated"]}
    assert changed == created | kept


async def _delete(requests: Requests) -> None:
    path = f"/accounts/{(await create_account(requests.client))['id']}"
    assert (await requests.send("DELETE", path)).content == b""


async def _delete_unknown(requests: Requests) -> None:
    await requests.send("DELETE", f"/accounts/{NOBODY}")


async def _delete_owner(requests: Requests) -> None:
    item = await create_item(requests.client)
    path = f"/accounts/{item['account_id']}"
    await requests.send("DELETE", path)
    await requests.send("DELETE", path, params={"cascade": "true"})
    assert (await requests.client.get(f"/items/{item['id']}")).status_code == 404


async def _empty_price(requests: Requests) -> None:
    assert (await requests.post_item(price="")).json()["price"] == "0.00"


async def _bad_price(requests: Requests) -> None:
    await requests.post_item(price="-1")
    await requests.post_item(price="19.999")


async def _unknown_owner(requests: Requests) -> None:
    await requests.post_item(account_id=NOBODY)


async def _other_scheme(requests: Requests) -> None:
    await requests.post_item(image_link="ftp://example.com/lamp.jpg")


REQUESTS: dict[str, Callable[[Requests], Awaitable[None]]] = {
    "`GET /`": _root,
    "`GET /accounts`": _list,
    "`POST /accounts`": _create,
    "`POST /accounts` with an email that is there": _create_twice,
    "the same in other case": _create_in_other_case,
    "`POST /accounts` with an invalid email or country": _create_invalid,
    "`POST /accounts` with an invalid `phone_number`": _create_with_invalid_number,
    "`POST /accounts` with an empty `dob` or `country`": _create_with_empty,
    "`POST /accounts` without some fields": _create_without,
    "`POST /accounts` with an unknown field": _create_with_unknown,
    "`GET /accounts/{id}`": _get,
    "`GET`, `PUT` with an unknown id": _unknown,
    "`PUT /accounts/{id}`": _put,
    "`PUT /accounts/{id}` with an invalid email": _put_invalid,
    "`PATCH /accounts/{id}`": _patch,
    "`DELETE /accounts/{id}`": _delete,
    "`DELETE /accounts/{id}` with an unknown id": _delete_unknown,
    "`DELETE /accounts/{id}` of one that owns items": _delete_owner,
    "`POST /items` with an empty `price`": _empty_price,
    "`POST /items` with a price such as `-1` or `19.999`": _bad_price,
    "`POST /items` with an unknown `account_id`": _unknown_owner,
    "`POST /items` with an `image_link` of another scheme": _other_scheme,
}


def test_each_request_of_its_table_is_sent() -> None:
    assert [request for request, _, _ in table("Requests")] == [*REQUESTS]


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_request_gets_what_its_table_says(client: httpx.AsyncClient, request_: str) -> None:
    (said,) = (now for request, _, now in table("Requests") if request == request_)
    requests = Requests(client)
    await REQUESTS[request_](requests)
    assert {*re.findall(r"\b[1-5]\d\d\b", said)} == requests.statuses
    assert codes_in(said) == requests.codes


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / target).exists(), target
