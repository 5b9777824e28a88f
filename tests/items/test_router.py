"""Items over HTTP: what each operation promises."""

from typing import Any

import httpx
import pytest

from tests.factories import create_account, create_item, item_body
from tests.responses import faults, without

FIELDS = [
    *("id", "account_id", "name", "price", "description", "image_link"),
    *("created", "updated", "version"),
]
# Each rule at its boundary, as JSON text: what it takes, and what is then stored.
TAKEN = [
    ("name", '"a"', "a"),
    ("name", f'" {"é" * 50} "', "é" * 50),
    ("price", '"19.9"', "19.90"),
    ("price", '"9999999999.99"', "9999999999.99"),
    ("price", "19.9", "19.90"),
    ("price", "19.900", "19.90"),
    ("price", "19", "19.00"),
    ("price", "1.5e1", "15.00"),
    ("price", "1E1", "10.00"),
    ("price", "1e-2", "0.01"),
    ("price", "-0", "0.00"),
    ("price", "-0.0", "0.00"),
    ("price", "9999999999.99", "9999999999.99"),
    ("price", "null", "0.00"),
    ("description", '""', ""),
    ("description", '" two\\nlines "', " two\nlines "),
    ("description", f'"{"é" * 10_000}"', "é" * 10_000),
    ("description", "null", None),
    ("image_link", '"HTTP://Example.com/Ä?a=1#b"', "HTTP://Example.com/Ä?a=1#b"),
]
# And what it refuses, with the code of the fault.
REFUSED = [
    ("account_id", "null", "null_not_allowed"),
    ("account_id", '"1"', "invalid_format"),
    ("account_id", "1", "wrong_type"),
    ("name", '""', "too_short"),
    ("name", '"  "', "too_short"),
    ("name", f'"{"a" * 51}"', "too_long"),
    ("name", "null", "null_not_allowed"),
    ("name", "5", "wrong_type"),
    ("price", "-0.01", "too_small"),
    ("price", '"-1"', "too_small"),
    ("price", "10000000000", "too_large"),
    ("price", "9999999999.995", "too_large"),
    ("price", "1e300", "too_large"),
    ("price", "1e400", "too_large"),
    ("price", "0.001", "invalid_format"),
    ("price", "1e-400", "too_large"),
    ("price", '"19.999"', "invalid_format"),
    ("price", '"1e1"', "invalid_format"),
    ("price", '"-0"', "invalid_format"),
    ("price", '"ten"', "invalid_format"),
    ("price", '""', "invalid_format"),
    ("price", "true", "wrong_type"),
    ("price", '["1"]', "wrong_type"),
    ("description", f'"{"a" * 10_001}"', "too_long"),
    ("description", "5", "wrong_type"),
    ("image_link", '"lamp.jpg"', "invalid_format"),
    ("image_link", '"ftp://example.com/"', "invalid_format"),
    ("image_link", f'"https://example.com/{"a" * 981}"', "too_long"),
    ("image_link", "null", "null_not_allowed"),
    ("image_link", "5", "wrong_type"),
    ("colour", '"red"', "unknown"),
]
JSON = {"Content-Type": "application/json"}


def with_raw(body: dict[str, Any], field: str, raw: str) -> bytes:
    """A JSON body with one field exactly as written."""
    rest = {name: value for name, value in body.items() if name != field}
    text = httpx.Request("POST", "http://x", json=rest).content.decode()
    return (text[:-1] + ("," if rest else "") + f'"{field}":{raw}}}').encode()


class TestCreate:
    async def test_answers_201_with_location_etag_and_the_item(
        self, client: httpx.AsyncClient
    ) -> None:
        body = item_body((await create_account(client))["id"], description="Brass, 40 cm")
        answer = await client.post("/items", json=body)
        item = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"/items/{item['id']}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert list(item) == FIELDS
        assert without(item, "id", "created", "updated", "version") == body
        assert item["created"] == item["updated"]
        assert item["version"] == 1
        assert item["id"][14] == "7"
        assert (await client.get(answer.headers["location"])).json() == item

    async def test_what_is_left_out_has_its_default(self, client: httpx.AsyncClient) -> None:
        body = item_body((await create_account(client))["id"])
        answer = await client.post("/items", json=without(body, "price"))
        assert answer.json()["price"] == "0.00"
        assert answer.json()["description"] is None

    async def test_takes(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for field, raw, stored in TAKEN:
            content = with_raw(item_body(owner), field, raw)
            answer = await client.post("/items", content=content, headers=JSON)
            assert answer.status_code == 201, answer.text
            assert answer.json()[field] == stored

    async def test_refuses(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for field, raw, code in REFUSED:
            content = with_raw(item_body(owner), field, raw)
            answer = await client.post("/items", content=content, headers=JSON)
            assert (raw[:30], faults(answer)) == (raw[:30], {f"/{field}": code})
        assert (await client.get("/items")).json()["data"] == []

    async def test_requires_what_is_required(self, client: httpx.AsyncClient) -> None:
        assert faults(await client.post("/items", json={})) == {
            "/account_id": "required",
            "/name": "required",
            "/image_link": "required",
        }


class TestForms:
    async def test_create_and_replace(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        fields = item_body(owner, name="Lamp é", price="19.9", description="")
        for form in ({"data": fields}, {"files": {k: (None, v) for k, v in fields.items()}}):
            answer = await client.post("/items", **form)
            assert answer.status_code == 201, answer.text
            item = answer.json()
            assert item["name"] == "Lamp é"
            assert item["price"] == "19.90"
            assert item["description"] is None
            answer = await client.put(f"/items/{item['id']}", **form)
            assert answer.json() == item

    async def test_an_empty_price_is_the_default(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client, price="5")
        fields = item_body(item["account_id"], price="")
        assert (await client.post("/items", data=fields)).json()["price"] == "0.00"
        answer = await client.put(f"/items/{item['id']}", data=fields)
        assert answer.json()["price"] == "0.00"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
class TestReplaceAndChange:
    """What PUT and PATCH have in common."""

    async def test_no_real_change_leaves_version_and_updated_alone(
        self, method: str, client: httpx.AsyncClient
    ) -> None:
        item = await create_item(client, price="10", description="Brass")
        url = f"/items/{item['id']}"
        same = without(item, "id", "created", "updated", "version")
        for price in ("10.00", "10", 10, 10.0, 1e1):
            answer = await client.request(method, url, json={**same, "price": price})
            assert answer.status_code == 200
            assert answer.json() == item
            assert answer.headers["etag"] == '"1"'

    async def test_takes(self, method: str, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        for field, raw, stored in TAKEN:
            item = await create_item(client, owner, price="1.23", description="Brass")
            body = item_body(owner) if method == "PUT" else {}
            content = with_raw(body, field, raw)
            url = f"/items/{item['id']}"
            answer = await client.request(method, url, content=content, headers=JSON)
            assert answer.status_code == 200, answer.text
            assert answer.json()[field] == stored
            assert answer.json()["version"] == 2

    async def test_refuses(self, method: str, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        url = f"/items/{item['id']}"
        for field, raw, code in REFUSED:
            body = item_body(item["account_id"]) if method == "PUT" else {}
            content = with_raw(body, field, raw)
            answer = await client.request(method, url, content=content, headers=JSON)
            assert (raw[:30], faults(answer)) == (raw[:30], {f"/{field}": code})
        assert (await client.get(url)).json() == item


class TestReplace:
    async def test_what_is_left_out_becomes_null_or_the_default(
        self, client: httpx.AsyncClient
    ) -> None:
        item = await create_item(client, description="Brass", price="5")
        required = {name: item[name] for name in ("account_id", "name", "image_link")}
        changed = (await client.put(f"/items/{item['id']}", json=required)).json()
        assert changed["price"] == "0.00"
        assert changed["description"] is None
        assert changed["version"] == 2


class TestChange:
    async def test_what_is_absent_stays_and_null_clears(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client, description="Brass", price="5")
        url = f"/items/{item['id']}"
        changed = (await client.patch(url, json={"description": None})).json()
        assert without(changed, "updated", "version") == {
            **without(item, "updated", "version"),
            "description": None,
        }
        changed = (await client.patch(url, json={"price": None})).json()
        assert changed["price"] == "0.00"
        assert changed["version"] == 3
        assert (await client.patch(url, json={})).json() == changed


class TestPrecedence:
    """A fault of the body is told before one of the item or its version."""

    @pytest.mark.parametrize("stale", ['"7"', None])
    async def test_an_unknown_owner_comes_first(
        self, client: httpx.AsyncClient, stale: str | None
    ) -> None:
        item = await create_item(client)
        unknown = "01890000-0000-7000-8000-000000000000"
        target = f"/items/{item['id'] if stale else unknown}"
        headers = {"If-Match": stale} if stale else {}
        answer = await client.patch(target, json={"account_id": unknown}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "account_not_found")

    async def test_a_known_owner_does_not_matter(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        body = {"account_id": item["account_id"]}
        answer = await client.patch(f"/items/{item['id']}", json=body, headers={"If-Match": '"7"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")
