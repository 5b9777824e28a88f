"""Builds and serves the OpenAPI document: FastAPI's own, completed."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.api.openapi import headers
from app.api.openapi.examples import REF, Schema, add_body_examples, example_of, files_of, name_of
from app.api.openapi.forms import as_form
from app.api.openapi.links import add_links
from app.api.openapi.operations import complete_operation, importable_of
from app.api.openapi.schemas import simplify
from app.api.openapi.sdk import without_forms
from app.api.openapi.sorts import describe_sorts
from app.api.requests import FORM, JSON, MULTIPART
from app.api.routes import StrictRoute
from app.errors import EmailTaken
from app.problems import ProblemRead, as_uri

DESCRIPTION = """\
Accounts and the items they own.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems that list all faults of a
request together. Writes accept `If-Match`, lists have pages with opaque cursors, times are in UTC.

Generators of SDKs should read [openapi.sdk.json](openapi.sdk.json), which is
[openapi.json](openapi.json) without the bodies that are forms.
"""
TAGS = [
    {"name": "accounts", "description": "People and organisations that own items."},
    {"name": "items", "description": "Things that accounts own."},
    {"name": "favorites", "description": "Many to one: an account has at most one favorite item."},
    {"name": "reservations", "description": "One to one: an account reserves at most one item."},
    {"name": "wishes", "description": "Many to many: accounts wish for items, each with a note."},
]
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`satchel_...`) or a JWT of the identity provider. Required "
        "if the server asks for credentials, as in production. GET and HEAD need the scope `read`, "
        "other methods `write`, which includes `read`.",
    }
}
# A filter is named after the field that it compares; a suffix of its name tells how.
COMPARISONS = {
    "prefix": "begins with this text, case-sensitive",
    "gte": "is this value or a greater one",
    "lte": "is this value or a smaller one",
    "lt": "is before this instant",
}
# The schema of a form is named after the JSON schema, with this suffix.
_SUFFIXES = {FORM: "Form", MULTIPART: "Multipart"}


class DocumentedAPI(FastAPI):
    """Serves its document at /openapi.json, and at /openapi.sdk.json without forms.

    The first request builds it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, **options)
        for path, get in (
            ("/openapi.json", self._get_document),
            ("/openapi.sdk.json", self._get_sdk_document),
        ):
            self.add_api_route(path, get, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _complete(self, _derive(self))
        return self.openapi_schema

    @cached_property
    def sdk_document(self) -> dict[str, Any]:
        return without_forms(self.openapi())

    async def _get_document(self, request: Request) -> Response:
        return _respond(request, self.openapi())

    async def _get_sdk_document(self, request: Request) -> Response:
        return _respond(request, self.sdk_document)


def _respond(request: Request, document: dict[str, Any]) -> Response:
    if prefix := request.scope["root_path"]:  # a proxy strips it from paths
        servers = [{"url": as_uri(prefix), "description": "This server"}]
        document = {**document, "servers": servers}
    own = {"Cache-Control": "private, no-cache"}
    return Response(to_json(document), headers=own, media_type=JSON)


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
    document["components"] |= headers.components()
    responses: dict[str, Schema] = {}
    document["components"]["responses"] = responses
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    # Credentials are optional: the document is the same for a server with AUTH_MODE=off.
    document["security"] = [{"bearer": []}, {}]
    problem = TypeAdapter(ProblemRead).json_schema(ref_template=REF + "{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    schemas["Fault"]["examples"] = EmailTaken().errors
    _open(schemas["Fault"]["properties"]["code"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {name: {"title": name, **simplify(one)} for name, one in schemas.items()}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, StrictRoute):
            method = min(context.methods or ()).lower()
            operation = document["paths"][context.path_format][method]
            _describe_parameters(operation.get("parameters", ()))
            _describe_success(operation["responses"], schemas)
            complete_operation(operation, route, responses)
            if (importable := importable_of(route)) is not None:
                row = example_of(schemas[importable.create.__name__], schemas)
                operation["requestBody"] = {"required": True, "content": files_of(row)}
            if route.media_types:
                body = operation["requestBody"]
                body["required"] = True
                body["content"] = _content(route, body["content"][JSON]["schema"], schemas)
    for schema in schemas.values():
        schema.setdefault("examples", [example_of(schema, schemas)])
    schemas["Problem"]["examples"][0].pop("report")  # which only one kind of problem has
    describe_sorts(document)
    add_links(document["paths"])
    add_body_examples(document)
    return document


def _open(code: Schema) -> None:
    """List the codes as examples: a client that reads an enum would fail at a new code."""
    known = code.pop("enum")
    code |= {"description": f"{', '.join(known)}; later versions may add codes", "examples": known}


def _describe_parameters(parameters: Iterable[Schema]) -> None:
    """Ids of the path and filters need no description of their own."""
    for parameter in parameters:
        parameter["schema"] = simplify(parameter["schema"])
        name: str = parameter["name"]
        field, _, suffix = name.rpartition("_")
        if parameter["in"] == "path":
            description = f"The id of the {field}"
        elif suffix in COMPARISONS:
            description = f"`{field}` {COMPARISONS[suffix]}"
        else:
            description = f"`{name}` equals this value"
        parameter.setdefault("description", description)


def _describe_success(responses: Schema, schemas: dict[str, Schema]) -> None:
    """Describe a success by its schema. FastAPI gives all the same description."""
    for response in responses.values():
        if response["description"] == "Successful Response":
            content = response.get("content")
            response["description"] = (
                schemas[name_of(content[JSON]["schema"])]["description"] if content else "Deleted"
            )


def _content(
    route: StrictRoute, schema: Schema, schemas: dict[str, Schema]
) -> dict[str, dict[str, Any]]:
    """The media types of a body, each with a schema of its own name.

    From one name for several media types, generators of clients make one function or send all.
    """
    content = {}
    for media_type in route.media_types:
        reference = {"$ref": schema["$ref"] + _SUFFIXES.get(media_type, "")}
        if reference != schema:
            schemas[name_of(reference)] = as_form(
                schemas[name_of(schema)], name_of(reference), schemas
            )
        content[media_type] = {"schema": reference}
    return content
