"""Every error is a problem (RFC 9457), the framework's own included, and each type has a page."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.errors import Problem, problem_types
from app.problems import problem_response, slug
from tests.api.cases import UNKNOWN
from tests.applications import client_of
from tests.catalog import CATALOG
from tests.factories import account_body, create_account, create_item
from tests.responses import assert_headers, assert_problem

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"}


def operations(app: FastAPI) -> dict[str, set[str]]:
    """The methods of each path, in words that a request can have."""
    paths: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        ids = {entry.id_name: UNKNOWN for entry in CATALOG}
        path = (context.path_format or "").format(**ids, slug="internal", fingerprint="x", name="y")
        paths.setdefault(path, set()).update(context.methods or ())
    return paths


@pytest.fixture(params=["", "/shop"], ids=["at the root", "behind a prefix"])
async def prefixed(
    app: FastAPI, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application at the root and behind a prefix."""
    transport = httpx.ASGITransport(app, root_path=request.param)
    base_url = f"http://satchel.test{request.param}"
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        yield client


class TestMethods:
    """OPTIONS and 405 tell all methods of a path."""

    def allowed(self, methods: set[str]) -> str:
        own = methods - {"HEAD"}
        return ", ".join(sorted({*own, "OPTIONS"} | ({"HEAD"} if "GET" in own else set())))

    async def test_options(self, app: FastAPI, prefixed: httpx.AsyncClient) -> None:
        paths = operations(app)
        assert {"/", "/accounts", "/livez", "/docs", f"/accounts/{UNKNOWN}/favorite"} <= set(paths)
        for path, methods in paths.items():
            answer = await prefixed.options(path)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["allow"] == self.allowed(methods)
            patch = "application/merge-patch+json, application/json" if "PATCH" in methods else None
            assert answer.headers.get("accept-patch") == patch
            assert "content-type" not in answer.headers
            assert_headers(answer)

    async def test_any_other_method(self, app: FastAPI, prefixed: httpx.AsyncClient) -> None:
        for path, methods in operations(app).items():
            for method in METHODS - methods:
                answer = await prefixed.request(method, path)
                assert_problem(answer, 405, "method_not_allowed", {})
                assert answer.headers["allow"] == self.allowed(methods)

    async def test_the_methods_of_a_resource(self, client: httpx.AsyncClient) -> None:
        answer = await client.options("/accounts")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        answer = await client.post("/accounts/nobody")
        assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"

    async def test_a_path_without_get_has_no_head(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        app.add_api_route("/only", lambda: None, methods=["POST"])
        for method in ("OPTIONS", "GET", "HEAD"):
            answer = await client.request(method, "/only")
            assert answer.headers["allow"] == "OPTIONS, POST"

    async def test_a_path_that_is_not_there_has_none(self, prefixed: httpx.AsyncClient) -> None:
        for method in ("OPTIONS", *METHODS):
            answer = await prefixed.request(method, "/nowhere")
            assert_problem(answer, 404, "not_found", {})
            assert "allow" not in answer.headers

    async def test_the_framework_does_not_redirect(
        self, app: FastAPI, prefixed: httpx.AsyncClient
    ) -> None:
        for path, methods in operations(app).items():
            if path not in ("/", "/docs/assets/x/y"):
                for method in methods - {"HEAD"}:
                    answer = await prefixed.request(method, f"{path}/")
                    assert_problem(answer, 404, "not_found", {})


class TestShape:
    @pytest.mark.parametrize(
        ("path", "instance"),
        [
            ("/nowhere/%C3%A9", "/nowhere/%C3%A9"),
            ("/a%3Fb", "/a%3Fb"),
            ("/a%23b%25%7B%7D", "/a%23b%25%7B%7D"),
            ("/accounts:batchGet;x=1,'(2)'@!$&*+", "/accounts:batchGet;x=1,'(2)'@!$&*+"),
            ("//evil.example/x", "/.//evil.example/x"),
            ("/%2F", "/.//"),
            ("/a b", "/a%20b"),
        ],
    )
    async def test_instance_is_the_path_as_a_uri_without_the_query(
        self, client: httpx.AsyncClient, path: str, instance: str
    ) -> None:
        url = httpx.URL("http://satchel.test").copy_with(raw_path=f"{path}?token=secret".encode())
        problem = assert_problem(await client.get(url), 404, "not_found", {})
        assert problem["instance"] == instance

    async def test_instance_is_the_path_as_the_client_sees_it(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, root_path="/shop")
        async with httpx.AsyncClient(transport=transport, base_url="http://t/shop/") as client:
            problem = assert_problem(await client.get("nowhere"), 404, "not_found", {})
        assert problem["instance"] == "/shop/nowhere"
        assert problem["type"] == "/shop/problems/not-found"

    def test_a_path_that_is_no_text_is_shown_all_the_same(self) -> None:
        class Gone(Problem):
            status, code, title, detail = 410, "gone", "Gone", "It is gone."

        scope = {"path": "/a\ud800", "state": {"request_id": "r"}}
        body = json.loads(bytes(problem_response(Gone("Long gone."), scope).body))
        assert (body["instance"], body["detail"]) == ("/a%3F", "Long gone.")

    async def test_conflicts_name_their_field(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        answer = await client.post("/accounts", json=account_body(email=account["email"].upper()))
        problem = assert_problem(answer, 409, "email_taken", {"/email": "not_unique"})
        assert account["email"] not in answer.text.lower()
        assert problem["title"] == "Email already in use"

    async def test_references_name_their_field(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        answer = await client.patch(f"/items/{item['id']}", json={"account_id": UNKNOWN})
        assert_problem(answer, 422, "account_not_found", {"/account_id": "not_found"})
        answer = await client.put(
            f"/accounts/{item['account_id']}/favorite", json={"item_id": UNKNOWN}
        )
        assert_problem(answer, 422, "item_not_found", {"/item_id": "not_found"})


def database_error(*, lost: bool) -> DBAPIError:
    error = DBAPIError("SELECT secret", {}, Exception("secret"), connection_invalidated=lost)
    assert "secret" in str(error)
    return error


class TestFailures:
    """What goes wrong on our side tells nothing about it."""

    async def answer_to(self, app: FastAPI, error: Exception) -> httpx.Response:
        async def fail(*_: Any) -> Any:
            raise error

        app.state.statements.execute = fail
        async with client_of(app) as client:
            return await client.post("/accounts", json=account_body())

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionRefusedError("secret"),
            TimeoutError("secret"),
            PoolTimeoutError("secret"),
            database_error(lost=True),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_without_the_database(self, app: FastAPI, error: Exception) -> None:
        answer = await self.answer_to(app, error)
        assert answer.status_code == 503
        assert_problem(answer, 503, answer.json()["code"], {})
        assert answer.json()["code"] in ("database_unavailable", "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        assert "secret" not in answer.text

    @pytest.mark.parametrize(
        "error",
        [RuntimeError("secret"), database_error(lost=False), HTTPException(418, "secret")],
        ids=lambda error: type(error).__name__,
    )
    async def test_of_any_other_kind(self, app: FastAPI, error: Exception) -> None:
        answer = await self.answer_to(app, error)
        assert_problem(answer, 500, "internal", {})
        assert "secret" not in answer.text

    async def test_what_the_framework_takes_for_a_malformed_body(self, app: FastAPI) -> None:
        answer = await self.answer_to(app, HTTPException(400, "secret"))
        assert_problem(answer, 400, "malformed_body", {})
        assert "secret" not in answer.text


class TestPages:
    @pytest.mark.parametrize("name", [slug(code) for code in problem_types()])
    async def test_each_type_is_explained(self, client: httpx.AsyncClient, name: str) -> None:
        answer = await client.get(f"/problems/{name}")
        problem = problem_types()[name.replace("-", "_")]
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        for words in (problem.title, problem.code, str(problem.status)):
            assert words in answer.text
        assert problem.explanation.endswith(".")
        assert_headers(answer)

    async def test_the_type_of_a_problem_leads_to_its_page(self, client: httpx.AsyncClient) -> None:
        for target in ("/nowhere", "/accounts/nobody", "/accounts?cursor=x"):
            answer = await client.get((await client.get(target)).json()["type"])
            assert answer.status_code == 200

    async def test_there_is_no_other_page(self, client: httpx.AsyncClient) -> None:
        for name in ("nothing", "email_taken", "", "%00", "%3Cscript%3E"):
            assert_problem(await client.get(f"/problems/{name}"), 404, "not_found", {})

    def test_the_codes_are_those_of_the_contract(self) -> None:
        codes = "malformed_body malformed_header not_found account_not_found item_not_found"
        codes += " method_not_allowed email_taken account_has_items account_has_reservation"
        codes += " item_already_reserved idempotency_in_flight stale_version body_too_large"
        codes += " precondition_required unsupported_media_type invalid_request invalid_cursor"
        codes += " idempotency_key_reused database_unavailable internal"
        assert set(codes.split()) <= set(problem_types())
