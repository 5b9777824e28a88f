"""The table finds what the router's own search finds. `BothWays` compares the responses."""

from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match, Mount
from starlette.types import Receive, Scope, Send

from app.accounts import service
from app.api.conditions import get_read_condition
from app.api.route_table import RouteTable
from app.api.routes import StrictRoute
from app.config import Settings
from app.main import create_app
from app.resources.preconditions import UNCONDITIONAL
from tests.api.cases import UNKNOWN
from tests.applications import client_of

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get")


def searched(app: FastAPI, scope: Scope) -> dict[str, Any] | None:
    """What the router's search finds and adds to the scope; None: no route has this method."""
    for route in app.routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return {"route": route, **found}
    return None


def looked_up(table: RouteTable, scope: Scope) -> dict[str, Any] | None:
    scope = dict(scope)
    route = table.find(scope)
    if route is None:
        return None
    return {name: scope[name] for name in ("route", "endpoint", "path_params")}


def scope_of(method: str, path: str, root_path: str = "") -> Scope:
    path = root_path + path
    return {"type": "http", "method": method, "path": path, "root_path": root_path}


async def nothing() -> Response:
    return Response()


async def nothing_of(any_: str) -> Response:
    return Response(any_)


def add(app: FastAPI, path: str) -> None:
    endpoint = nothing_of if "any_" in path else nothing
    app.router.routes.append(StrictRoute(path, endpoint, methods=["GET"]))


def table_of(app: FastAPI) -> RouteTable:
    return RouteTable(app.router, app)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_it_finds_what_the_search_finds(app: FastAPI, root_path: str) -> None:
    table = table_of(app)
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    parts = {part for route in routes for part in route.path_format.split("/") if "{" not in part}
    parts |= {UNKNOWN, "a b", "ä", "\n", "accounts\n", "{account_id}"}
    paths = {
        "",
        "/",
        *("/" + "/".join(each) for n in (1, 2, 3) for each in product(parts, repeat=n)),
    }
    found = set()
    for method, path in product(METHODS, sorted(paths)):
        scope = scope_of(method, path, root_path)
        if (looked := looked_up(table, scope)) is not None:
            assert looked == searched(app, scope), (method, path)
            found.add((method, looked["route"].path_format))
    one_parameter_at_most = {
        (method, route.path_format)
        for route in routes
        if isinstance(route, StrictRoute) and route.is_covered
        for method in route.methods or ()
        if "{" not in route.path_format.rpartition("/")[0]
    }
    assert found == one_parameter_at_most


@pytest.mark.parametrize(
    "earlier",
    ["/things/{n:int}", "/things/{n:float}", "/things/{n:uuid}", "/{rest:path}", "/{a}/{b}"],
)
def test_an_earlier_route_comes_first(earlier: str) -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route(earlier, nothing)
    add(app, "/things/{any_}")
    add(app, "/things/fixed")
    table = table_of(app)
    for path in ("/things/1", "/things/1.5", f"/things/{UNKNOWN}", "/things/x", "/things/fixed"):
        scope = scope_of("GET", path)
        assert looked_up(table, scope) in (None, searched(app, scope)), path


def test_a_mounted_application_that_stands_before_comes_first() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None: ...

    app = FastAPI(openapi_url=None, routes=[Mount("/things", other)])
    add(app, "/things/{any_}")
    add(app, "/others")
    table = table_of(app)
    assert table.find(scope_of("GET", "/things/x")) is None
    assert table.find(scope_of("GET", "/others")) is app.routes[2]


async def test_resources_are_served_without_the_router(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(app.router, "middleware_stack", fail)
    async with client_of(app) as client:
        assert (await client.get("/accounts/1")).status_code == 422
        assert (await client.get("/livez")).status_code == 500


async def test_routes_that_are_added_later_are_found(app: FastAPI) -> None:
    app.add_api_route("/later", nothing)
    async with client_of(app) as client:
        assert (await client.get("/later")).status_code == 200


def test_a_request_can_make_the_address_of_a_route(app: FastAPI) -> None:
    scope = scope_of("GET", f"/accounts/{UNKNOWN}")
    scope.update(scheme="http", headers=[], server=("example.com", 80))
    route = table_of(app).find(scope)
    assert route is not None
    address = Request(scope).url_for(route.name, account_id="x")
    assert str(address) == "http://example.com/accounts/x"


async def test_dependency_overrides_reach_the_route(app: FastAPI) -> None:
    async with client_of(app) as client:
        before = await client.get("/accounts/1")
        app.dependency_overrides[get_read_condition] = lambda: UNCONDITIONAL
        after = await client.get("/accounts/1")
    assert before.status_code == after.status_code == 422


class TestErrors:
    """As those that FastAPI's own layers answer."""

    @pytest.fixture
    def failing(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
        async def fail(*_: object) -> None:
            raise LookupError("no")

        monkeypatch.setattr(service, "retrieve_account", fail)
        app.state.statements = None
        return app

    async def test_reach_the_handler_of_their_kind(self, failing: FastAPI) -> None:
        @failing.exception_handler(LookupError)
        async def handle(request: Request, error: LookupError) -> Response:
            return Response(f"{request.url.path} {error}", 418)

        async with client_of(failing) as client:
            answer = await client.get(f"/accounts/{UNKNOWN}")
        assert (answer.status_code, answer.text) == (418, f"/accounts/{UNKNOWN} no")
        assert answer.headers["x-request-id"]

    async def test_without_a_handler_are_the_servers(
        self, failing: FastAPI, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with client_of(failing) as client:
            answer = await client.get(f"/accounts/{UNKNOWN}")
        assert answer.json()["type"] == "/problems/internal"
        assert "LookupError" in capsys.readouterr().err
