"""The OpenAPI document is served, and responses are as it describes."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.api.routes import StrictRoute
from tests.api.cases import JSON, UNKNOWN
from tests.applications import sdk_document
from tests.factories import account_body, item_body

Document = dict[str, Any]


@pytest.fixture
def document(app: FastAPI) -> Document:
    return app.openapi()


def resolve(document: Document, reference: str) -> Any:
    root, *names = reference.split("/")
    assert root == "#"
    part = document
    for name in names:
        part = part[name]
    return part


class TestDocument:
    async def test_is_served(self, client: httpx.AsyncClient, document: Document) -> None:
        answer = await client.get("/openapi.json")
        assert answer.headers["content-type"] == JSON
        assert answer.json() == document
        assert document["openapi"].startswith("3.1.")
        assert document["info"]["title"] == "Satchel"

    def test_is_made_once(self, app: FastAPI) -> None:
        assert app.openapi() is app.openapi()

    async def test_is_served_without_forms_too(
        self, client: httpx.AsyncClient, document: Document
    ) -> None:
        whole, answer = [await client.get(f"/openapi{kind}.json") for kind in ("", ".sdk")]
        assert answer.status_code == 200
        own = {"content-length", "x-request-id"}
        assert [(name, value) for name, value in answer.headers.items() if name not in own] == [
            (name, value) for name, value in whole.headers.items() if name not in own
        ]
        assert answer.json() == sdk_document()
        assert "openapi.sdk.json" in document["info"]["description"]

    @pytest.mark.parametrize("name", ["openapi.json", "openapi.sdk.json"])
    async def test_its_server_is_where_the_client_sees_it(self, app: FastAPI, name: str) -> None:
        for prefix, url in (("", "/"), ("/shop", "/shop")):
            transport = httpx.ASGITransport(app, root_path=prefix)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                served = (await client.get(f"{prefix}/{name}")).json()
            assert [server["url"] for server in served["servers"]] == [url]
        assert app.openapi()["servers"][0]["url"] == "/"

    def test_describes_the_operations_of_resources(self, app: FastAPI, document: Document) -> None:
        routed = {
            (method.lower(), context.path_format)
            for context in iter_route_contexts(app.routes)
            if isinstance(context.original_route, StrictRoute)
            for method in context.methods or ()
        }
        described = {(method, path) for path, of in document["paths"].items() for method in of}
        assert described == routed
        assert ("put", "/accounts/{account_id}/favorite") in routed


class TestAnswers:
    """Responses are as the document describes them."""

    def described(self, document: Document, method: str, path: str, answer: httpx.Response) -> None:
        described = document["paths"][path][method]["responses"][str(answer.status_code)]
        if "$ref" in described:
            described = resolve(document, described["$ref"])
        for name, header in described.get("headers", {}).items():
            declared = resolve(document, header["$ref"]) if "$ref" in header else header
            assert name in answer.headers or not declared.get("required"), name
        if not answer.content:
            assert "content" not in described
            return
        media_type = answer.headers["content-type"]
        assert list(described["content"]) == [media_type]
        schema = resolve(document, described["content"][media_type]["schema"]["$ref"])
        optional = schema["properties"].keys() - answer.json().keys()
        assert optional <= {"more_errors", "report"}
        assert list(answer.json()) == [
            name for name in schema["properties"] if name not in optional
        ]
        if media_type == JSON:
            assert set(answer.json()) == set(schema["required"])

    async def test_of_resources(self, client: httpx.AsyncClient, document: Document) -> None:
        account = await client.post("/accounts", json=account_body())
        item = await client.post("/items", json=item_body(account.json()["id"]))
        for resource, created, body in (
            ("items", item, item_body(account.json()["id"])),
            ("accounts", account, account_body()),
        ):
            listed, one = f"/{resource}", f"/{resource}/{{{resource[:-1]}_id}}"
            path = created.headers["location"]
            self.described(document, "post", listed, created)
            self.described(document, "get", listed, await client.get(listed))
            self.described(document, "get", listed, await client.get(f"{listed}?cursor=x"))
            self.described(document, "post", listed, await client.post(listed, json={}))
            self.described(document, "get", one, await client.get(path))
            fresh = await client.get(path, headers={"If-None-Match": "*"})
            self.described(document, "get", one, fresh)
            self.described(document, "get", one, await client.get(f"{listed}/{UNKNOWN}"))
            self.described(document, "put", one, await client.put(path, json=body))
            self.described(document, "patch", one, await client.patch(path, json={"version": 1}))
            self.described(document, "patch", one, await client.patch(path, content=b"{"))
            self.described(document, "delete", one, await client.delete(path))

    async def test_of_links(self, client: httpx.AsyncClient, document: Document) -> None:
        account = (await client.post("/accounts", json=account_body())).headers["location"]
        item = (await client.post("/items", json=item_body(account[10:]))).headers["location"]
        template, body = "/accounts/{account_id}", {"item_id": item[7:]}
        for name, of_item in (("favorite", "favorited-by"), ("reservation", "reservation")):
            path = f"{template}/{name}"
            for _ in range(2):
                made = await client.put(f"{account}/{name}", json=body)
                self.described(document, "put", path, made)
            self.described(document, "get", path, await client.get(f"{account}/{name}"))
            seen = await client.get(f"{item}/{of_item}")
            self.described(document, "get", f"/items/{{item_id}}/{of_item}", seen)
            self.described(document, "delete", path, await client.delete(f"{account}/{name}"))
            self.described(document, "delete", path, await client.delete(f"{account}/{name}"))
        path, wish = f"{template}/wishes/{{item_id}}", f"{account}/wishes/{item[7:]}"
        for _ in range(2):
            self.described(document, "put", path, await client.put(wish, json={}))
        self.described(document, "get", path, await client.get(wish))
        listed = await client.get(f"{account}/wishes")
        self.described(document, "get", f"{template}/wishes", listed)
        seen = await client.get(f"{item}/wished-by")
        self.described(document, "get", "/items/{item_id}/wished-by", seen)
