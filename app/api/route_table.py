"""Finds the route of a request by its method and path, and takes the request straight to it."""

from typing import Final

from fastapi import FastAPI, Request
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.routes import StrictRoute

# What an earlier route might take, by Starlette's kinds of parameters.
_EXAMPLES: Final = ("x", "1", "1.5", "01890a5d-ac96-774b-bcce-b302099a8057")


class RouteTable:
    """The innermost middleware. Requests that it finds no route for go on to FastAPI.

    It knows the routes of a fixed path, and those whose only parameter is the last part of the
    path, as they were at the first request: of these, such as answer without FastAPI.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api
        handlers = {
            kind: handler
            for kind, handler in api.exception_handlers.items()
            if kind not in (500, Exception)  # FastAPI's outermost layer calls these
        }
        # Answers with the application's handler of such errors, or raises the error.
        self._answer_error = ExceptionMiddleware(_raise, handlers)
        self._fixed: dict[tuple[str, str], StrictRoute] = {}
        self._by_start: dict[tuple[str, str], tuple[StrictRoute, str]] = {}
        for route in api.routes:
            if isinstance(route, StrictRoute) and route.is_covered:
                for method in route.methods or ():
                    self._add(route, method)

    def _add(self, route: StrictRoute, method: str) -> None:
        path = route.path_format
        start, _, last = path.rpartition("/")
        if not route.param_convertors:
            if self._first(method, path) is route:
                self._fixed[method, path] = route
        elif _ends_with_text(route) and all(
            self._first(method, f"{start}/{example}") is route for example in _EXAMPLES
        ):
            self._by_start[method, start] = route, last.strip("{}")

    def _first(self, method: str, path: str) -> BaseRoute | None:
        """The route that the router takes."""
        scope = {"type": "http", "method": method, "path": path}
        matching = (each for each in self._api.routes if each.matches(scope)[0] is Match.FULL)
        return next(matching, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None if self._api.dependency_overrides else self.find(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await route.respond(request)
        except Exception as error:
            scope["error"] = error
            await self._answer_error(scope, receive, send)
        else:
            await response(scope, receive, send)

    def find(self, scope: Scope) -> StrictRoute | None:
        """The route, which the scope then names as after the router's own search."""
        if scope["type"] != "http":
            return None
        method, path = scope["method"], get_route_path(scope)
        route = self._fixed.get((method, path))
        parameters: dict[str, str] = {}
        if route is None:
            start, _, last = path.rpartition("/")
            found = self._by_start.get((method, start))
            if found is None or not last:
                return None
            route, name = found
            parameters[name] = last
        scope["router"] = self._api.router
        scope["endpoint"] = route.endpoint
        scope["path_params"] = parameters
        scope["route"] = route
        return route


async def _raise(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise scope.pop("error")


def _ends_with_text(route: StrictRoute) -> bool:
    """Whether the only parameter is the last part of the path, and any text."""
    convertors = route.param_convertors
    return [f"{{{name}}}" for name in convertors] == route.path_format.split("/")[-1:] and all(
        type(each) is StringConvertor for each in convertors.values()
    )
