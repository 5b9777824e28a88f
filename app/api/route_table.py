"""Finds the route of a request by its method and path, without trying one route after another."""

from typing import Final

from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send

# What an earlier route might take, by Starlette's kinds of parameters.
_EXAMPLES: Final = ("x", "1", "1.5", "01890a5d-ac96-774b-bcce-b302099a8057")


class RouteTable:
    """Stands before a router. What it does not find, the router does.

    It knows the routes of a fixed path, and those whose only parameter is the last part of the
    path, as they were when it was made.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._app = router.middleware_stack
        self._fixed: dict[tuple[str, str], APIRoute] = {}
        self._by_start: dict[tuple[str, str], tuple[APIRoute, str]] = {}
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    self._add(route, method)

    def _add(self, route: APIRoute, method: str) -> None:
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
        matching = (each for each in self._router.routes if each.matches(scope)[0] is Match.FULL)
        return next(matching, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.find(scope)
        if route is None:
            await self._app(scope, receive, send)
        else:
            await route.handle(scope, receive, send)

    def find(self, scope: Scope) -> APIRoute | None:
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
        scope["router"] = self._router
        scope["endpoint"] = route.endpoint
        scope["path_params"] = parameters
        scope["route"] = route
        return route


def _ends_with_text(route: APIRoute) -> bool:
    """Whether the only parameter is the last part of the path, and any text."""
    convertors = route.param_convertors
    return [f"{{{name}}}" for name in convertors] == route.path_format.split("/")[-1:] and all(
        type(each) is StringConvertor for each in convertors.values()
    )
