"""The route class of all resources: takes what it declares, and nothing else.

FastAPI reads what an operation declares and documents it, but takes requests apart by interpreting
the declaration anew each time, and ignores what was not declared. Here all of it is settled when
the route is made; unknown and repeated parameters, foreign media types and ill-formed bodies are
refused, and all faults come in one answer.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from app.api import bodies
from app.api.faults import faults_of
from app.api.idempotency import answered_once
from app.api.queries import parse_query
from app.errors import InvalidRequest, MalformedBody, NotFound, UnsupportedMediaType

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

Handler = Callable[[Request], Awaitable[Response]]


class StrictRoute(APIRoute):
    """A route whose operation takes exactly the media types and parameters that it declares.

    A handler may declare parameters of the path, one model for the query and one for the body, the
    request, and dependencies that are async functions of the request.
    """

    body_types: ClassVar[tuple[str, ...]] = (JSON, FORM, MULTIPART)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in options["methods"]:
            endpoint = answered_once(endpoint)
        # Generated clients name their functions by it.
        options["operation_id"] = endpoint.__name__
        super().__init__(path, endpoint, **options)
        self._respond = self._plan()

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the operation takes as a body; the first is the default. Empty: no body."""
        if self.body_field is None:
            return ()
        if "PATCH" in (self.methods or ()):
            return (MERGE_PATCH, JSON)
        return self.body_types

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without FastAPI's layers for what no operation here needs, such as exit stacks."""
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405)
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    def _plan(self) -> Handler:
        dependant = self.dependant
        _refuse_undeclarable(dependant)
        endpoint = self.endpoint
        media_types = self.media_types
        dependencies = _dependencies(dependant)
        path_fields = [
            (field.name, field, ("path", field.alias)) for field in dependant.path_params
        ]
        query_field = next(iter(dependant.query_params), None)
        repeatable = _query_parameters(dependant)
        body_field = next(iter(dependant.body_params), None)
        own_id = _own_id(dependant)
        takes_request = dependant.request_param_name
        ends_in_text = not self.path.endswith("}")

        async def respond(request: Request) -> Response:
            scope = request.scope
            # The framework's patterns end in `$`, which lets a line feed through.
            if ends_in_text and scope["path"].endswith("\n"):
                raise NotFound
            arguments: dict[str, Any] = {}
            errors: list[Any] = []
            if body_field is not None:
                parsed = scope["parsed_body"] = await _parse_body(request, media_types)
                if own_id is not None:
                    _refuse_other_id(parsed, scope["path_params"][own_id])
                arguments[body_field.name], found = body_field.validate(parsed, loc=("body",))
                errors += found
            for name, dependency in dependencies:
                arguments[name] = await dependency(request)
            for name, field, loc in path_fields:
                arguments[name], found = field.validate(scope["path_params"][name], loc=loc)
                errors += found
            values, faults = parse_query(scope["query_string"], repeatable)
            if query_field is not None:
                arguments[query_field.name], found = query_field.validate(values, loc=("query",))
                errors += found
            if errors or faults:
                raise InvalidRequest(errors=faults + faults_of(errors, known=faults))
            if takes_request is not None:
                arguments[takes_request] = request
            response: Response = await endpoint(**arguments)
            return response

        return respond


class JsonRoute(StrictRoute):
    """A route that takes JSON only."""

    body_types = (JSON,)


def _refuse_undeclarable(dependant: Dependant) -> None:
    """At the start, not at the first request. Errors: TypeError."""
    fields = [*dependant.header_params, *dependant.cookie_params]
    fields += [*dependant.query_params[1:], *dependant.body_params[1:]]
    others = (
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.http_connection_param_name,
        dependant.websocket_param_name,
        dependant.security_scopes_param_name,
    )
    names = [*(field.name for field in fields), *(name for name in others if name is not None)]
    if names:
        raise TypeError(f"{dependant.call}: an operation cannot take {', '.join(names)}")


def _dependencies(dependant: Dependant) -> Sequence[tuple[str, Callable[[Request], Any]]]:
    """Errors: TypeError, for what is no async function of the request alone."""
    found = []
    for inner in dependant.dependencies:
        call = inner.call
        takes = list(inspect.signature(call).parameters) if call is not None else []
        if not inspect.iscoroutinefunction(call) or takes != [inner.request_param_name]:
            raise TypeError(f"{call}: a dependency is an async function of the request alone")
        assert inner.name is not None, "dependencies are declared by parameters"
        found.append((inner.name, call))
    return found


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The names that an operation takes, each with whether it may be repeated."""
    names: dict[str, bool] = {}
    for field in dependant.query_params:
        query = field.field_info.annotation
        if not (isinstance(query, type) and issubclass(query, BaseModel)):
            raise TypeError(f"{dependant.call}: a query is a model, never a single parameter")
        names |= {name: _is_list(info.annotation) for name, info in query.model_fields.items()}
    return names


def _own_id(dependant: Dependant) -> str | None:
    """The path parameter that the `id` of the body must equal; None: the body has none."""
    for field in dependant.body_params:
        if "id" in getattr(field.field_info.annotation, "model_fields", ()):
            return dependant.path_params[-1].alias
    return None


def _refuse_other_id(parsed: Any, path_id: str) -> None:
    """Services check it too, but there it would come after the faults of the other fields."""
    given = parsed.get("id") if isinstance(parsed, dict) else None
    if isinstance(given, str) and given.lower() != path_id.lower():
        parsed["id"] = bodies.OTHER_ID


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))


async def _parse_body(request: Request, media_types: tuple[str, ...]) -> Any:
    raw = await request.body()
    content_type = request.headers.get("content-type")
    if content_type is None:
        if raw:
            raise _unsupported(media_types)
        raise MalformedBody("The body is empty.")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise _unsupported(media_types)
    if media_type == FORM:
        return bodies.parse_urlencoded(raw)
    if media_type == MULTIPART:
        return bodies.parse_multipart(raw, content_type)
    return bodies.parse_json(raw)


def _unsupported(media_types: tuple[str, ...]) -> UnsupportedMediaType:
    headers = {"Accept-Patch": ", ".join(media_types)} if MERGE_PATCH in media_types else {}
    return UnsupportedMediaType(f"This operation takes {', '.join(media_types)}.", headers=headers)
