"""The OpenAPI document: what FastAPI derives, completed with what it cannot know."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.api.openapi import headers
from app.api.openapi.examples import REF, Schema, example_of, name_of
from app.api.openapi.operations import complete_operation
from app.api.routes import FORM, JSON, MULTIPART, StrictRoute
from app.errors import EmailTaken
from app.problems import ProblemRead

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
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`satchel_...`), or a JWT of the identity provider. Needed "
        "where the operator has switched credentials on, as in production. GET and HEAD need the "
        "scope `read`, other methods `write`, which includes it.",
    }
}
# A filter is named after the field that it compares; a suffix of its name tells how.
COMPARISONS = {
    "prefix": "begins with this text, case-sensitive",
    "gte": "is this value or a greater one",
    "lte": "is this value or a smaller one",
    "lt": "is before this instant",
}
# What the name of a form's schema has after that of the JSON.
_KINDS = {FORM: "Form", MULTIPART: "Multipart"}


class DocumentedAPI(FastAPI):
    """Serves its document at /openapi.json, made once at the first request for it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, **options)
        self.add_api_route("/openapi.json", self._get_document, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _complete(self, _derive(self))
        return self.openapi_schema

    async def _get_document(self, request: Request) -> Response:
        document = self.openapi()
        if prefix := request.scope["root_path"]:  # behind a proxy that strips it
            document = {**document, "servers": [{"url": prefix, "description": "This server"}]}
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
    # The document is the same everywhere, and where AUTH_MODE is off nobody needs credentials.
    document["security"] = [{"bearer": []}, {}]
    problem = TypeAdapter(ProblemRead).json_schema(ref_template=REF + "{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem | {"title": "Problem"}
    schemas["Fault"]["examples"] = EmailTaken().errors
    _open(schemas["Fault"]["properties"]["code"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, StrictRoute):
            method = min(context.methods or ()).lower()
            operation = document["paths"][context.path_format][method]
            _describe_parameters(operation.get("parameters", ()))
            _describe_success(operation["responses"], schemas)
            complete_operation(operation, route, responses)
            if route.media_types:
                body = operation["requestBody"]
                body["required"] = True
                body["content"] = _content(route, body["content"][JSON]["schema"], schemas)
    for schema in schemas.values():
        schema.setdefault("examples", [example_of(schema, schemas)])
    return document


def _open(code: Schema) -> None:
    """Codes may be added: a client for which the list is closed fails at the first new one."""
    known = code.pop("enum")
    code |= {"description": f"{', '.join(known)}; more may come", "examples": known}


def _describe_parameters(parameters: Iterable[Schema]) -> None:
    """Ids of the path and filters need no description of their own."""
    for parameter in parameters:
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
    """The words of the schema, instead of the framework's that are the same everywhere."""
    for response in responses.values():
        if response["description"] == "Successful Response":
            content = response.get("content")
            response["description"] = (
                schemas[name_of(content[JSON]["schema"])]["description"] if content else "Deleted"
            )


def _content(
    route: StrictRoute, schema: Schema, schemas: dict[str, Schema]
) -> dict[str, dict[str, Any]]:
    """The media types of a body. Each kind of form has a schema with a name of its own: generators
    that meet one name twice write one function over the other, or send both forms at once.
    """
    content = {}
    for media_type in route.media_types:
        reference = {"$ref": schema["$ref"] + _KINDS.get(media_type, "")}
        if reference != schema:
            schemas[name_of(reference)] = _as_form(schemas[name_of(schema)], name_of(reference))
        content[media_type] = {"schema": reference}
    return content


def _as_form(schema: Schema, name: str) -> Schema:
    """All is text in a form, and null is an empty value, for which a schema has no word: a field
    keeps the first of its alternatives.
    """
    fields = {
        field: {key: value for key, value in one.items() if key != "anyOf"}
        | one.get("anyOf", [{}])[0]
        for field, one in schema["properties"].items()
    }
    description = f"{schema['description']} An empty value is null."
    return {**schema, "properties": fields, "title": name, "description": description}
