"""The route class of resources: it takes what an operation declares, and nothing else.

Unknown and repeated parameters, other media types and malformed bodies are refused, and all faults
come in one response. FastAPI interprets a declaration anew for each request; here most of it is
settled when the route is made. What that does not cover (headers, cookies, nested dependencies or
such with `yield`, background tasks, `dependency_overrides`, returned models) is left to FastAPI,
which is slower.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from typing import Any, ClassVar, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, request_response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from app.api.faults import faults_of
from app.api.idempotency import idempotent
from app.api.queries import parse_query
from app.api.requests import (
    FORM,
    JSON,
    MERGE_PATCH,
    MULTIPART,
    ParsedRequest,
    parse_body,
    refuse_other_id,
)
from app.api.sessions import get_session, open_session
from app.errors import InvalidRequest, NotFound

Dependency = Callable[[Request], Awaitable[Any]]


class StrictRoute(APIRoute):
    """A route whose operation takes exactly the media types and parameters that it declares."""

    body_types: ClassVar[tuple[str, ...]] = (JSON, FORM, MULTIPART)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in options["methods"] and _returns_response(endpoint):
            endpoint = idempotent(endpoint)
        # Generated clients name their functions by it.
        options["operation_id"] = endpoint.__name__
        super().__init__(path, endpoint, **options)
        self._read = _make_reader(self)
        calls = {inner.call: inner.name for inner in self.dependant.dependencies}
        self._session_name = calls.get(get_session)
        self._is_covered = _is_covered(self)

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the operation takes as a body; the first is the default. Empty: no body."""
        if self.body_field is None:
            return ()
        if "PATCH" in (self.methods or ()):
            return (MERGE_PATCH, JSON)
        return self.body_types

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "effective_route_context" in scope.get("fastapi", ()):  # of a router that was included
            await super().handle(scope, receive, send)
            return
        if not self._is_covered or scope["app"].dependency_overrides:
            if self.dependency_overrides_provider is not scope["app"]:
                self.dependency_overrides_provider = scope["app"]
                self.app = request_response(self.get_route_handler())
            await super().handle(scope, receive, send)
            return
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405)
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        arguments = await self._read(request, ())
        if self.dependant.request_param_name is not None:
            arguments[self.dependant.request_param_name] = request
        if self._session_name is None:
            response: Response = await self.endpoint(**arguments)
            return response
        session = open_session(request)
        arguments[self._session_name] = session
        try:
            response = await self.endpoint(**arguments)
            await session.finish()
        finally:
            await session.discard()
        return response

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


def _make_reader(
    route: StrictRoute,
) -> Callable[[Request, Collection[Any]], Awaitable[dict[str, Any]]]:
    """Reads the arguments of the endpoint from a request, but for what only FastAPI can give."""
    dependant = route.dependant
    media_types = route.media_types
    dependencies = list(_dependencies(dependant))
    path_fields = [(field.name, field, ("path", field.alias)) for field in dependant.path_params]
    query_fields = [(field.name, field) for field in dependant.query_params if _model_of(field)]
    repeatable = _query_parameters(dependant)
    # Of several, each is a member of the body.
    one_body = len(dependant.body_params) == 1
    body_fields = [(field.name, field) for field in dependant.body_params if one_body]
    own_id = _own_id(dependant)
    ends_in_text = not route.path.endswith("}")

    async def read(request: Request, overridden: Collection[Any]) -> dict[str, Any]:
        scope = request.scope
        # The framework's patterns end in `$`, which accepts a line feed.
        if ends_in_text and scope["path"].endswith("\n"):
            raise NotFound
        arguments: dict[str, Any] = {}
        errors: list[Any] = []
        if media_types:
            parsed = scope["parsed_body"] = await parse_body(request, media_types)
            refuse_other_id(parsed, scope["path_params"].get(own_id))
            for name, field in body_fields:
                arguments[name], found = field.validate(parsed, loc=("body",))
                errors += found
        for name, dependency in dependencies:
            if dependency not in overridden:
                arguments[name] = await dependency(request)
        for name, field, loc in path_fields:
            arguments[name], found = field.validate(scope["path_params"][name], loc=loc)
            errors += found
        values, faults = parse_query(scope["query_string"], repeatable)
        for name, field in query_fields:
            arguments[name], found = field.validate(values, loc=("query",))
            errors += found
        if errors or faults:
            raise InvalidRequest(errors=faults + faults_of(errors, known=faults))
        return arguments

    return read


def _is_covered(route: StrictRoute) -> bool:
    """Whether the reader and a session are all that the endpoint needs."""
    dependant = route.dependant
    beyond = [
        *dependant.header_params,
        *dependant.cookie_params,
        *dependant.body_params[1:],
        *dependant.query_params[1:],
        *(field for field in dependant.query_params if not _model_of(field)),
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
    given = {call for _, call in _dependencies(dependant)} | {get_session}
    return (
        not beyond
        and all(inner.call in given for inner in dependant.dependencies)
        and inspect.iscoroutinefunction(route.endpoint)
        and _returns_response(route.endpoint)
    )


def _returns_response(endpoint: Callable[..., Any]) -> bool:
    returned = inspect.signature(endpoint, eval_str=True).return_annotation
    return isinstance(returned, type) and issubclass(returned, Response)


def _dependencies(dependant: Dependant) -> Iterator[tuple[str, Dependency]]:
    """The parameters that depend on an async function of the request alone."""
    for inner in dependant.dependencies:
        call = inner.call
        if (
            inner.name is not None
            and inspect.iscoroutinefunction(call)
            and list(inspect.signature(call).parameters) == [inner.request_param_name]
        ):
            yield inner.name, call


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The names that an operation takes, each with whether it may be repeated."""
    names: dict[str, bool] = {}
    for field in dependant.query_params:
        model = _model_of(field)
        if model is None:
            names[field.alias] = _is_list(field.field_info.annotation)
        else:
            names |= {name: _is_list(info.annotation) for name, info in model.model_fields.items()}
    for inner in dependant.dependencies:
        names |= _query_parameters(inner)
    return names


def _model_of(field: Any) -> type[BaseModel] | None:
    annotation = field.field_info.annotation
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def _own_id(dependant: Dependant) -> str | None:
    """The path parameter that the `id` of the body must equal; None: the body has none."""
    for field in dependant.body_params:
        if "id" in getattr(field.field_info.annotation, "model_fields", ()):
            return dependant.path_params[-1].alias
    return None


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
