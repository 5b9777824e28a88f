"""The OpenAPI document: what FastAPI derives, completed with what it cannot know."""

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.http.problems import ProblemRead
from app.http.routes import FORM, JSON, MULTIPART, StrictRoute

DESCRIPTION = """\
Accounts and the items they own.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems that list all faults of a
request together. Writes take `If-Match`, lists are walked by opaque cursors, instants are UTC.
"""
TAGS = [
    {"name": "accounts", "description": "People and organisations that own items."},
    {"name": "items", "description": "What accounts own."},
    {"name": "favorites", "description": "Many to one: each account has one favorite item."},
    {"name": "reservations", "description": "One to one: each account reserves one item."},
    {"name": "wishes", "description": "Many to many: accounts wish for items, with a note."},
]
_REF = "#/components/schemas/"


class DocumentedAPI(FastAPI):
    """Serves its document at /openapi.json, made once at the first request for it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, **options)
        self.add_api_route("/openapi.json", self._get_document, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _complete(self, _derive(self))
        return self.openapi_schema

    async def _get_document(self) -> Response:
        headers = {"Cache-Control": "private, no-cache"}
        return Response(to_json(self.openapi()), headers=headers, media_type=JSON)


def _derive(app: FastAPI) -> dict[str, Any]:
    return get_openapi(
        title=app.title,
        version=app.version,
        summary="Accounts and the items they own, as a service",
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": "/", "description": "This server"}],
        contact={"name": "The Satchel developers", "url": "https://example.com/satchel"},
        license_info={"name": "MIT", "identifier": "MIT"},
    )


def _complete(app: FastAPI, document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    problem = TypeAdapter(ProblemRead).json_schema(ref_template=_REF + "{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem | {"title": "Problem"}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, StrictRoute) and route.media_types:
            method = min(context.methods or ()).lower()
            operation = document["paths"][context.path_format][method]
            body = operation["requestBody"]
            body["required"] = True
            body["content"] = _content(route, body["content"][JSON]["schema"], schemas)
    return document


def _content(
    route: StrictRoute, schema: dict[str, str], schemas: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The media types of a body. A form's schema has a name of its own: generators that meet one
    name twice write one function over the other.
    """
    form = {"$ref": schema["$ref"] + "Form"}
    name = schema["$ref"].removeprefix(_REF)
    if FORM in route.media_types:
        schemas[name + "Form"] = {**schemas[name], "title": name + "Form"}
    return {
        media_type: {"schema": form if media_type in (FORM, MULTIPART) else schema}
        for media_type in route.media_types
    }
