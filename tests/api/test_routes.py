"""Operations take the media types and parameters that they declare, and nothing else."""

import collections
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.accounts.schemas import AccountChange
from app.errors import InvalidRequest
from app.resources.preconditions import Precondition
from tests.api.cases import FORM, JSON, MERGE_PATCH, MULTIPART, UNKNOWN, sent_as
from tests.factories import account_body, create_account, create_item, item_body
from tests.responses import assert_problem

SYSTEM_FIELDS = ("id", "created", "updated", "version")


def own_fields(answer: httpx.Response) -> dict[str, Any]:
    """What the client may set."""
    return {name: value for name, value in answer.json().items() if name not in SYSTEM_FIELDS}


ACCOUNT = {
    "email": "Ada@Example.com",
    "username": " ada ",
    "dob": "1990-05-17",
    "country": "Jordan",
    "phone_number": None,
}
STORED_ACCOUNT = {**ACCOUNT, "email": "Ada@example.com", "username": "ada", "country": "JO"}


class TestMediaTypes:
    @pytest.mark.parametrize("media_type", [JSON, FORM, MULTIPART])
    async def test_post_and_put_of_an_account_take_the_same_fields(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        answer = await client.post("/accounts", **sent_as(media_type, ACCOUNT))
        assert answer.status_code == 201, answer.text
        assert own_fields(answer) == STORED_ACCOUNT
        path, changed = answer.headers["location"], {**ACCOUNT, "username": "other"}
        answer = await client.put(path, **sent_as(media_type, changed))
        assert answer.status_code == 200, answer.text
        assert own_fields(answer) == {**STORED_ACCOUNT, "username": "other"}

    @pytest.mark.parametrize("media_type", [JSON, FORM, MULTIPART])
    async def test_post_and_put_of_an_item_take_the_same_fields(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        owner = await create_account(client)
        fields = item_body(owner["id"], price="5.5", description=None)
        answer = await client.post("/items", **sent_as(media_type, fields))
        assert answer.status_code == 201, answer.text
        assert own_fields(answer) == {**fields, "price": "5.50"}
        path, changed = answer.headers["location"], {**fields, "price": None, "description": "x"}
        answer = await client.put(path, **sent_as(media_type, changed))
        assert answer.status_code == 200, answer.text
        assert own_fields(answer) == {**fields, "price": "0.00", "description": "x"}

    @pytest.mark.parametrize("media_type", [JSON, FORM, MULTIPART])
    async def test_put_takes_back_what_get_gave(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}"
        answer = await client.put(path, **sent_as(media_type, account))
        assert (answer.status_code, answer.json()) == (200, account)
        stale = {**account, "version": 7, "username": "other"}
        assert_problem(await client.put(path, **sent_as(media_type, stale)), 412, "stale_version")

    @pytest.mark.parametrize("media_type", [MERGE_PATCH, JSON, "Application/JSON; charset=utf-8"])
    async def test_patch_takes_a_merge_patch(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        account = await create_account(client, country="JO")
        changes = {"username": "other", "country": None}
        path = f"/accounts/{account['id']}"
        answer = await client.patch(path, **sent_as(media_type, changes))
        assert answer.status_code == 200, answer.text
        given = {name: account[name] for name in ("email", "dob", "phone_number")}
        assert own_fields(answer) == {**given, **changes}

    @pytest.mark.parametrize("media_type", [FORM, MULTIPART, "application/json-patch+json", "x/y"])
    async def test_patch_of_another_type_is_told_which_it_takes(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        headers = {"Content-Type": media_type}
        for path in (f"/accounts/{UNKNOWN}", f"/items/{UNKNOWN}"):
            answer = await client.patch(path, content=b"{}", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type", {})
            assert answer.headers["accept-patch"] == f"{MERGE_PATCH}, {JSON}"

    @pytest.mark.parametrize("media_type", [MERGE_PATCH, "text/plain", "application/x+json", ""])
    async def test_post_and_put_of_another_type_are_refused(
        self, client: httpx.AsyncClient, media_type: str
    ) -> None:
        for method, path in (("POST", "/accounts"), ("PUT", f"/items/{UNKNOWN}")):
            headers = {"Content-Type": media_type}
            answer = await client.request(method, path, content=b"{}", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type", {})
            assert "accept-patch" not in answer.headers

    @pytest.mark.parametrize("media_type", [FORM, MULTIPART, MERGE_PATCH])
    async def test_links_take_json_only(self, client: httpx.AsyncClient, media_type: str) -> None:
        links = ("favorite", "reservation", f"wishes/{UNKNOWN}")
        for path in (f"/accounts/{UNKNOWN}/{link}" for link in links):
            headers = {"Content-Type": media_type}
            answer = await client.put(path, content=b"{}", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type", {})

    async def test_a_body_without_a_type_is_refused(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/accounts", content=b"{}")
        assert_problem(answer, 415, "unsupported_media_type", {})

    async def test_an_encoded_body_is_told_that_none_is_taken(
        self, client: httpx.AsyncClient
    ) -> None:
        for method, media_type in (("POST", FORM), ("PUT", JSON), ("PATCH", MERGE_PATCH)):
            headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
            path = "/items" if method == "POST" else f"/items/{UNKNOWN}"
            answer = await client.request(method, path, content=b"\x1f\x8b", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type", {})
            assert answer.headers["accept-encoding"] == "identity"
            taken = f"{MERGE_PATCH}, {JSON}" if method == "PATCH" else None
            assert answer.headers.get("accept-patch") == taken

    async def test_json_sent_as_a_form_is_told_the_type_that_it_needs(
        self, client: httpx.AsyncClient
    ) -> None:
        for body in (b'{"email": "ada@example.com"}', b" [", b"%7b"):
            for method, path in (("POST", "/accounts"), ("PUT", f"/items/{UNKNOWN}")):
                headers = {"Content-Type": FORM}
                answer = await client.request(method, path, content=body, headers=headers)
                problem = assert_problem(answer, 415, "unsupported_media_type", {})
                assert "Send Content-Type: application/json." in problem["detail"]

    async def test_no_body_is_malformed(self, client: httpx.AsyncClient) -> None:
        assert_problem(await client.post("/accounts"), 400, "malformed_body", {})
        answer = await client.post("/accounts", headers={"Content-Type": JSON})
        assert_problem(answer, 400, "malformed_body", {})


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "faults"),
        [
            ("x=1", {"?x": "unknown"}),
            ("x=1&x=2", {"?x": "unknown"}),
            ("=", {"?": "unknown"}),
            ("%ff=1", {"??": "unknown"}),
            ("limit=5&limit=5", {"?limit": "duplicate"}),
            ("limit=0&limit=x", {"?limit": "duplicate"}),
            ("limit=%00", {"?limit": "invalid_format"}),
            ("username=%ff", {"?username": "invalid_format"}),
            ("country=JO&country=%00", {"?country": "invalid_format"}),
            (
                "limit=0&sort=x&y",
                {"?limit": "too_small", "?sort": "invalid_format", "?y": "unknown"},
            ),
        ],
    )
    async def test_faults(
        self, client: httpx.AsyncClient, query: str, faults: dict[str, str]
    ) -> None:
        answer = await client.get(f"/accounts?{query}")
        assert_problem(answer, 422, "invalid_request", faults)

    @pytest.mark.parametrize("query", ["", "&", "limit=5&", "country=JO&country=jo", "country=JO"])
    async def test_what_is_taken(self, client: httpx.AsyncClient, query: str) -> None:
        assert (await client.get(f"/accounts?{query}")).status_code == 200

    async def test_operations_without_parameters_take_none(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        unknown = {"?x": "unknown"}
        for path in ("/accounts", "/items"):
            answer = await client.post(f"{path}?x", json={}, headers={"Content-Type": JSON})
            assert_problem(answer, 422, "invalid_request")
            assert {"parameter": "x", "code": "unknown"}.items() <= answer.json()["errors"][
                0
            ].items()
        answer = await client.patch(f"/items/{item['id']}?x", json={})
        assert_problem(answer, 422, "invalid_request", unknown)
        for method in ("GET", "DELETE"):
            answer = await client.request(method, f"/items/{item['id']}?x")
            assert_problem(answer, 422, "invalid_request", unknown)
        assert (await client.get(f"/items/{item['id']}")).status_code == 200

    async def test_a_refused_query_leaves_no_trace(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/accounts?x=1")).status_code == 422
        assert (await client.get("/accounts")).status_code == 200
        assert (await client.post("/accounts?x=1", json=account_body())).status_code == 422
        assert (await client.post("/accounts", json=account_body())).status_code == 201

    @pytest.mark.parametrize(
        "path", ["/", "/livez", "/openapi.json", "/openapi.sdk.json", "/problems/internal"]
    )
    async def test_what_is_no_resource_ignores_a_query(
        self, client: httpx.AsyncClient, path: str
    ) -> None:
        assert (await client.get(f"{path}?x=1")).status_code == 200


class TestTogether:
    async def test_faults_of_path_query_and_body_come_in_one_answer(
        self, client: httpx.AsyncClient
    ) -> None:
        body = {"email": "x", "nickname": "x", "id": UNKNOWN, "version": 0}
        answer = await client.put("/accounts/nobody?email=x&limit=5", json=body)
        faults = {"?account_id": "invalid_format", "?email": "unknown", "?limit": "unknown"}
        faults |= {"/email": "invalid_format", "/username": "required", "/nickname": "unknown"}
        faults |= {"/id": "read_only", "/version": "too_small"}
        assert_problem(answer, 422, "invalid_request", faults)

    async def test_a_nameless_parameter_hides_no_fault_of_the_body(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.post("/accounts?=1", json=[])
        assert_problem(answer, 422, "invalid_request", {"?": "unknown", "": "wrong_type"})


class TestId:
    """PUT and PATCH take the id that GET gave: the path's."""

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("spell", [str, str.upper])
    async def test_of_the_path(self, client: httpx.AsyncClient, method: str, spell: Any) -> None:
        account = await create_account(client)
        body = {**account, "id": spell(account["id"])}
        answer = await client.request(method, f"/accounts/{account['id']}", json=body)
        assert answer.json() == account

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("other", [UNKNOWN, "", "nobody"])
    async def test_another_is_refused_with_the_other_faults(
        self, client: httpx.AsyncClient, method: str, other: str
    ) -> None:
        item = await create_item(client)
        body = {**item, "id": other, "name": ""}
        answer = await client.request(method, f"/items/{item['id']}", json=body)
        faults = {"/id": "read_only", "/name": "too_short"}
        assert_problem(answer, 422, "invalid_request", faults)

    async def test_of_another_type_is_refused_as_such(self, client: httpx.AsyncClient) -> None:
        for value, code in ((7, "wrong_type"), (None, "null_not_allowed")):
            answer = await client.patch(f"/accounts/{UNKNOWN}", json={"id": value})
            assert_problem(answer, 422, "invalid_request", {"/id": code})

    def test_whoever_asks_the_schema_itself_is_told_too(self) -> None:
        body = AccountChange.model_validate({"id": UNKNOWN, "version": 3})
        assert body.precondition(UUID(UNKNOWN), Precondition()).versions == frozenset({3})
        with pytest.raises(InvalidRequest) as refused:
            body.precondition(UUID(int=0), Precondition())
        assert refused.value.errors[0]["pointer"] == "/id"


class TestPaths:
    async def test_a_trailing_slash_is_another_path(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        account, item_path = f"/accounts/{item['account_id']}", f"/items/{item['id']}"
        for path in ("/accounts", "/items", account, item_path, f"{account}/items", "/livez"):
            for method in ("GET", "POST", "OPTIONS"):
                answer = await client.request(method, path + "/")
                assert_problem(answer, 404, "not_found", {})

    async def test_a_line_feed_at_the_end_is_another_path(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        paths = {route.path_format or "" for route in iter_route_contexts(app.routes)}
        assert {"/", "/livez", "/accounts"} <= paths
        for path in paths:
            if path.endswith("}"):  # the line feed belongs to the parameter
                continue
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
                target = path.format_map(collections.defaultdict(lambda: UNKNOWN)) + "%0A"
                answer = await client.request(method, target)
                assert answer.status_code == 404, (method, target)
        assert_problem(await client.get("/livez%0A"), 404, "not_found", {})
        answer = await client.get(f"/accounts/{UNKNOWN}%0A")
        assert_problem(answer, 422, "invalid_request", {"?account_id": "invalid_format"})
