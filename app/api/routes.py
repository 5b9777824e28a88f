"""The route class of resources: it takes what an operation declares, and nothing else.

Unknown and repeated parameters, other media types and malformed bodies are refused, and all faults
come in one response. FastAPI interprets a declaration anew for each request; here most of it is
settled when the route is made. What that does not cover (headers, cookies, nested dependencies or
such with `yield`, background tasks, `dependency_overrides`, returned models) is left to FastAPI,
which is slower.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute, request_response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from app.api.arguments import (
    REPEATABLE,
    ArgumentReader,
    batch_of,
    model_of,
    simple_dependencies,
)
from app.api.idempotency import idempotent
from app.api.requests import (
    FORM,
    JSON,
    MULTIPART,
    PATCH_TYPES,
    ParsedRequest,
)
from app.api.sessions import get_session, replicas_of
from app.postgres.sessions import RequestSession, run_in_session


class StrictRoute(APIRoute):
    """A route whose operation takes exactly the media types and parameters that it declares."""

    body_types: ClassVar[tuple[str, ...]] = (JSON, FORM, MULTIPART)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in options["methods"] and _returns_response(endpoint):
            endpoint = idempotent(endpoint)
        # Generated clients name their functions by it.
        options["operation_id"] = endpoint.__name__
        self._work = endpoint
        super().__init__(path, self._running_again(endpoint), **options)
        self._read = ArgumentReader(self.dependant, self.media_types, self.response_model)
        calls = {inner.call: inner.name for inner in self.dependant.dependencies}
        self._session_name = calls.get(get_session)
        # Whether it answers without FastAPI.
        self.is_covered = _is_covered(self)
        # What other dependencies give may not be fit for a second use.
        self._is_repeatable = calls.keys() - {get_session} <= REPEATABLE and not (
            self.dependant.background_tasks_param_name or self.dependant.response_param_name
        )

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the operation takes as a body; the first is the default. Empty: no body."""
        if self.body_field is None:
            return ()
        if batch_of(self.body_field) is not None:
            return (JSON,)
        if "PATCH" in (self.methods or ()):
            return PATCH_TYPES
        return self.body_types

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "effective_route_context" in scope.get("fastapi", ()):  # of a router that was included
            await super().handle(scope, receive, send)
            return
        if not self.is_covered or scope["app"].dependency_overrides:
            if self.dependency_overrides_provider is not scope["app"]:
                self.dependency_overrides_provider = scope["app"]
                self.app = request_response(self.get_route_handler())
            await super().handle(scope, receive, send)
            return
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405)
        response = await self.respond(Request(scope, receive))
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        """The response of a route that is covered, without overrides of dependencies."""
        arguments = await self._read(request, None)
        if self.dependant.request_param_name is not None:
            arguments[self.dependant.request_param_name] = request
        name = self._session_name
        if name is None:
            response: Response = await self._work(**arguments)
            return response

        def work(session: RequestSession) -> Awaitable[Response]:
            answering: Awaitable[Response] = self._work(**arguments, **{name: session})
            return answering

        return await run_in_session(
            request.app.state.statements,
            work,
            repeatable=self._is_repeatable,
            replicas=replicas_of(request),
        )

    def _running_again(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """What FastAPI calls. So that the endpoint may run again, it gets a session that is
        committed when it returns, instead of FastAPI's; unless an override gives the session.
        """
        if not inspect.iscoroutinefunction(endpoint):
            return endpoint

        @wraps(endpoint)
        async def run(**arguments: Any) -> Any:
            name = self._session_name or ""
            given: Any = arguments.get(name)
            statements = given.autocommit if isinstance(given, RequestSession) else None
            if statements is None or not self._is_repeatable:
                return await endpoint(**arguments)
            replicas = given.replicas

            def work(session: RequestSession) -> Awaitable[Any]:
                answering: Awaitable[Any] = endpoint(**{**arguments, name: session})
                return answering

            return await run_in_session(statements, work, repeatable=True, replicas=replicas)

        return run

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, after the request was read as strictly as without it."""
        handler = super().get_route_handler()

        async def respond(request: Request) -> Response:
            await self._read(request, request.app.dependency_overrides)
            return await handler(ParsedRequest(request) if self.media_types else request)

        return respond


class JsonRoute(StrictRoute):
    """A route that takes JSON only."""

    body_types = (JSON,)


def _is_covered(route: StrictRoute) -> bool:
    """Whether the reader and a session are all that the endpoint needs."""
    dependant = route.dependant
    beyond = [
        *dependant.header_params,
        *dependant.cookie_params,
        *dependant.body_params[1:],
        *dependant.query_params[1:],
        *(field for field in dependant.query_params if not model_of(field)),
        *(
            name
            for name in (
                dependant.response_param_name,
                dependant.background_tasks_param_name,
                dependant.http_connection_param_name,
                dependant.websocket_param_name,
                dependant.security_scopes_param_name,
            )
            if name is not None
        ),
    ]
    given = {call for _, call in simple_dependencies(dependant)} | {get_session}
    return (
        not beyond
        and all(inner.call in given for inner in dependant.dependencies)
        and inspect.iscoroutinefunction(route.endpoint)
        and _returns_response(route.endpoint)
    )


def _returns_response(endpoint: Callable[..., Any]) -> bool:
    returned = inspect.signature(endpoint, eval_str=True).return_annotation
    return isinstance(returned, type) and issubclass(returned, Response)
