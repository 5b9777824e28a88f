"""The table finds what the router's own search finds."""

from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match, Mount
from starlette.types import Receive, Scope, Send

from app.api.route_table import RouteTable
from app.config import Settings
from app.main import create_app
from tests.api.cases import UNKNOWN
from tests.applications import client_of

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get")


def searched(router: APIRouter, scope: Scope) -> dict[str, Any] | None:
    """What the router's search finds and adds to the scope; None: no route has this method."""
    for route in router.routes:
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


async def nothing(any_: str = "") -> Response:
    return Response(any_)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_it_finds_what_the_search_finds(app: FastAPI, root_path: str) -> None:
    table = RouteTable(app.router)
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
            assert looked == searched(app.router, scope), (method, path)
            found.add((method, looked["route"].path_format))
    one_parameter_at_most = {
        (method, route.path_format)
        for route in routes
        for method in route.methods or ()
        if "{" not in route.path_format.rpartition("/")[0]
    }
    assert found == {each for each in one_parameter_at_most if ":" not in each[1]}


@pytest.mark.parametrize(
    "earlier",
    ["/things/{n:int}", "/things/{n:float}", "/things/{n:uuid}", "/{rest:path}", "/{a}/{b}"],
)
def test_an_earlier_route_comes_first(earlier: str) -> None:
    router = APIRouter()
    router.add_api_route(earlier, nothing)
    router.add_api_route("/things/{any_}", nothing)
    router.add_api_route("/things/fixed", nothing)
    table = RouteTable(router)
    for path in ("/things/1", "/things/1.5", f"/things/{UNKNOWN}", "/things/x", "/things/fixed"):
        scope = scope_of("GET", path)
        assert looked_up(table, scope) in (None, searched(router, scope)), path


def test_a_mounted_application_that_stands_before_comes_first() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None: ...

    router = APIRouter(routes=[Mount("/things", other)])
    router.add_api_route("/things/{any_}", nothing)
    router.add_api_route("/others", nothing)
    table = RouteTable(router)
    assert table.find(scope_of("GET", "/things/x")) is None
    assert table.find(scope_of("GET", "/others")) is router.routes[2]


async def test_routes_that_are_added_later_are_found(app: FastAPI) -> None:
    app.add_api_route("/later", nothing)
    async with client_of(app) as client:
        assert (await client.get("/later")).status_code == 200


def test_a_request_can_make_the_address_of_a_route(app: FastAPI) -> None:
    scope = scope_of("GET", f"/accounts/{UNKNOWN}")
    scope.update(scheme="http", headers=[], server=("example.com", 80))
    route = RouteTable(app.router).find(scope)
    assert route is not None
    address = Request(scope).url_for(route.name, account_id="x")
    assert str(address) == "http://example.com/accounts/x"
