"""Answers of resources: their headers, and the way from page to page."""

import re

import httpx
from fastapi import FastAPI

from tests.factories import account_body, create_account, create_item
from tests.responses import assert_headers


class TestJson:
    async def test_is_private_and_never_encoded(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        account = f"/accounts/{item['account_id']}"
        targets = ["/", "/accounts", "/items", account, f"/items/{item['id']}", f"{account}/items"]
        documents = ("/openapi.json", "/openapi.sdk.json")
        for target in (*targets, f"{account}/wishes", *documents):
            answer = await client.get(target, headers={"Accept-Encoding": "gzip, br, zstd"})
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "private, no-cache"
            assert "content-encoding" not in answer.headers
            assert_headers(answer)

    async def test_a_resource_has_its_version_as_etag(self, client: httpx.AsyncClient) -> None:
        created = await client.post("/accounts", json=account_body())
        path = created.headers["location"]
        assert path == f"/accounts/{created.json()['id']}"
        assert (created.status_code, created.headers["etag"]) == (201, '"1"')
        read = await client.get(path)
        assert (read.headers["etag"], read.content) == ('"1"', created.content)
        assert "location" not in read.headers
        changed = await client.patch(path, json={"username": "other"})
        assert (changed.headers["etag"], changed.json()["version"]) == ('"2"', 2)
        assert (await client.get(path)).content == changed.content

    async def test_nothing_has_no_type(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}"
        unchanged = await client.get(path, headers={"If-None-Match": "*"})
        deleted = await client.delete(path)
        assert (unchanged.status_code, deleted.status_code) == (304, 204)
        assert unchanged.headers["cache-control"] == "private, no-cache"
        for answer in (unchanged, deleted):
            assert answer.content == b""
            assert "content-type" not in answer.headers
            assert_headers(answer)


class TestPages:
    async def walk(self, client: httpx.AsyncClient, target: str) -> list[list[str]]:
        """The ids on each page, from link to link."""
        pages = []
        while True:
            answer = await client.get(target)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert list(page) == ["data", "next_cursor", "count"]
            pages.append([row["id"] for row in page["data"]])
            if page["next_cursor"] is None:
                assert "link" not in answer.headers
                return pages
            link = re.fullmatch('<([^>]+)>; rel="next"', answer.headers["link"])
            assert link is not None
            target = link[1]
            assert f"cursor={page['next_cursor']}" in target

    async def test_links_lead_through_the_list(self, client: httpx.AsyncClient) -> None:
        ids = [(await create_account(client))["id"] for _ in range(5)]
        pages = await self.walk(client, "/accounts?limit=2")
        assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]

    async def test_links_keep_filters_and_sort(self, client: httpx.AsyncClient) -> None:
        names = ["a&b=c#d", "a&b=c%20", "x", "a&b=c é+"]
        owner = (await create_account(client))["id"]
        ids = {name: (await create_item(client, owner, name=name))["id"] for name in names}
        target = f"/accounts/{owner}/items?limit=1&sort=name&name_prefix=a%26b%3Dc"
        pages = await self.walk(client, target)
        assert pages == [[ids[name]] for name in ("a&b=c é+", "a&b=c#d", "a&b=c%20")]

    async def test_links_hold_the_path_as_the_client_sees_it(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, root_path="/a shop")
        async with httpx.AsyncClient(transport=transport, base_url="http://satchel.test") as client:
            for _ in range(2):
                answer = await client.post("/a%20shop/accounts", json=account_body())
                assert answer.status_code == 201, answer.text
            answer = await client.get("/a%20shop/accounts?limit=1")
            assert answer.headers["link"].startswith("</a%20shop/accounts?limit=1&cursor=")
            assert len(await self.walk(client, "/a%20shop/accounts?limit=1")) == 2
