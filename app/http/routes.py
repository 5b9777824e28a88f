"""The route class of all resources: takes what it declares, and nothing else.

FastAPI validates what it declares and ignores the rest; here unknown and repeated query parameters,
foreign media types and ill-formed bodies are refused, and all faults come in one answer.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, ClassVar, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.errors import Fault, InvalidRequest, MalformedBody, NotFound, UnsupportedMediaType
from app.http import bodies
from app.http.faults import faults_of
from app.http.idempotency import answered_once

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

Handler = Callable[[Request], Awaitable[Response]]

# Faults of the query that FastAPI does not look for; set anew by each request.
_query_faults: ContextVar[Sequence[Fault]] = ContextVar("query_faults")


class ParsedRequest(Request):
    """A request whose body was read, checked and parsed; without a Content-Type FastAPI takes the
    result as it is.
    """

    def __init__(self, request: Request, parsed: Any) -> None:
        scope = dict(request.scope)
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"content-type"]
        scope["parsed_body"] = parsed
        super().__init__(scope, request.receive)

    async def body(self) -> bytes:
        return b"parsed"

    async def json(self) -> Any:
        return self.scope["parsed_body"]


def _refuse_query_faults(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    """The endpoint, reached only when the query had no faults.

    By then FastAPI has validated everything else, so the faults of both come together.
    """

    @wraps(endpoint)
    async def guarded(*args: Any, **kwargs: Any) -> Response:
        if faults := _query_faults.get():
            raise InvalidRequest(errors=faults)
        return await endpoint(*args, **kwargs)

    return guarded


class StrictRoute(APIRoute):
    """A route whose operation takes exactly the media types and parameters that it declares."""

    body_types: ClassVar[tuple[str, ...]] = (JSON, FORM, MULTIPART)

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in options["methods"]:
            endpoint = answered_once(endpoint)
        options["strict_content_type"] = False  # it is checked here
        super().__init__(path, _refuse_query_faults(endpoint), **options)

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the operation takes as a body; the first is the default. Empty: no body."""
        if self.body_field is None:
            return ()
        if "PATCH" in (self.methods or ()):
            return (MERGE_PATCH, JSON)
        return self.body_types

    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()
        media_types = self.media_types
        parameters = _query_parameters(self.dependant)
        own_id = _own_id(self.dependant)
        ends_in_text = not self.path.endswith("}")

        async def handle_strictly(request: Request) -> Response:
            # The framework's patterns end in `$`, which lets a line feed through.
            if ends_in_text and request.scope["path"].endswith("\n"):
                raise NotFound
            if media_types:
                parsed = await _parse_body(request, media_types)
                if own_id is not None:
                    _refuse_other_id(parsed, request.path_params[own_id])
                request = ParsedRequest(request, parsed)
            query = request.scope["query_string"]
            faults = _find_query_faults(query, parameters) if query else []
            _query_faults.set(faults)
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise InvalidRequest(errors=faults + faults_of(error, known=faults)) from None

        return handle_strictly


class JsonRoute(StrictRoute):
    """A route that takes JSON only."""

    body_types = (JSON,)


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """The names that an operation takes, each with whether it may be repeated."""
    names: dict[str, bool] = {}
    for field in dependant.query_params:
        query = field.field_info.annotation
        assert isinstance(query, type), "a query is a model, never a single parameter"
        assert issubclass(query, BaseModel)
        names |= {name: _is_list(info.annotation) for name, info in query.model_fields.items()}
    for inner in dependant.dependencies:
        names |= _query_parameters(inner)
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


def _find_query_faults(query: bytes, parameters: dict[str, bool]) -> list[Fault]:
    faults: dict[str, Fault] = {}
    seen: set[str] = set()
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    for name, value in pairs:
        if name not in parameters:
            shown = bodies.safe_name(name)
            faults[shown] = Fault(parameter=shown, code="unknown", detail="No such parameter.")
        elif name in seen and not parameters[name]:
            detail = "Given more than once."
            faults[name] = Fault(parameter=name, code="duplicate", detail=detail)
        elif not bodies.is_text(value):
            detail = "Holds a NUL or is not UTF-8."
            faults[name] = Fault(parameter=name, code="invalid_format", detail=detail)
        seen.add(name)
    return list(faults.values())


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
