"""Builds the Postman collection from the OpenAPI document and the folders of requests."""

import json
from pathlib import Path
from typing import Any, Final

from app.config import Settings
from app.main import create_app
from scripts.postman.contract import (
    CONDITIONS,
    ERRORS,
    EXPORTS,
    IDEMPOTENCY,
    IMPORTS,
    LISTS,
    SERVICE,
)
from scripts.postman.derived import batches_of, folder_of, resources_of
from scripts.postman.resources import AS_JSON, LINKS, TUTORIAL
from scripts.postman.send import VARIABLES, Send

Object = dict[str, Any]

COLLECTION = Path(__file__).parents[2] / "docs" / "satchel.postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
DESCRIPTION = """\
Accounts and the items they own. Set `host` and `port`, and `api_key` if the server needs \
credentials. Then run the whole collection or any folder: each folder creates what it needs and \
deletes it again."""
BATCHES = "Many rows in one request, all or none of them. `validate_only` stores nothing."
JSON = "application/json"
OPERATIONS = "Every operation on {}, with the rows that they need."
FORM_MODES = {
    "application/x-www-form-urlencoded": "urlencoded",
    "multipart/form-data": "formdata",
}

# The name of a folder, its description, and its requests.
Folder = tuple[str, str, list[Send]]
FIRST: Final[Folder] = (
    "Accounts",
    "The five requests of the tutorial. Only host and port differ.",
    TUTORIAL,
)
LAST: Final[tuple[Folder, ...]] = (
    ("JSON", "The same fields as JSON. PATCH changes only the fields that it names.", AS_JSON),
    ("Conditional requests", "A write with If-Match fails if the ETag has changed.", CONDITIONS),
    ("Idempotency", "A POST repeated with its Idempotency-Key takes effect once.", IDEMPOTENCY),
    ("Lists", "Filters, sorts (`-` for descending), and pages by opaque cursors.", LISTS),
    ("Exports", "All rows that the filters let through, as lines of JSON or as CSV.", EXPORTS),
    ("Imports", "Files of CSV or lines of JSON, each row by the rules of a single one.", IMPORTS),
    ("Links", "Favorites (many to one), reservations (one to one), wishes (many to many).", LINKS),
    ("Errors", "Every error is a problem (RFC 9457) that lists all faults together.", ERRORS),
    ("Service", "Probes, and what the service says about itself.", SERVICE),
)


def collection(document: Object) -> Object:
    """The collection of an OpenAPI document."""
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    schemas = document["components"]["schemas"]
    resources = resources_of(document)
    folders = [
        FIRST,
        *(
            (one.tag.capitalize(), OPERATIONS.format(one.tag), folder_of(one, document))
            for one in resources
            if one.tag.capitalize() != FIRST[0]
        ),
        ("Batches", BATCHES, [send for one in resources for send in batches_of(one, document)]),
        *LAST,
    ]
    ids = dict.fromkeys((one.id_name for one in resources), "")
    variables = {**VARIABLES, **ids}
    token = {"key": "token", "value": "{{api_key}}", "type": "string"}
    return {
        "info": {"name": "Satchel", "description": DESCRIPTION, "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [token]},
        "item": [
            {
                "name": name,
                "description": description,
                "item": [_item(send, operations, schemas, variables) for send in requests],
            }
            for name, description, requests in folders
        ],
        "variable": [{"key": key, "value": value} for key, value in variables.items()],
    }


def _item(
    send: Send,
    operations: dict[str, tuple[str, str, Object]],
    schemas: Object,
    variables: dict[str, str],
) -> Object:
    if " " in send.operation:
        method, path = send.operation.split(" ")
        operation: Object = {}
    else:
        method, path, operation = operations[send.operation]
    request: Object = {"method": method, "header": []}
    content = operation.get("requestBody", {}).get("content", {})
    if content or send.body is not None:
        media_type = send.media_type or next(iter(content), JSON)
        body = send.body
        if body is None:
            body = _example(
                schemas[content[media_type]["schema"]["$ref"].rpartition("/")[2]], variables
            )
        request["body"] = _body(media_type, body)
        if media_type not in FORM_MODES:
            request["header"].append({"key": "Content-Type", "value": media_type})
    request["header"] += [{"key": key, "value": value} for key, value in send.headers.items()]
    request["url"] = _url(path.replace("{", "{{").replace("}", "}}"), send.query)
    if description := send.description or operation.get("description"):
        request["description"] = description
    events = [_event("prerequest", send.before)] if send.before else []
    events.append(_event("test", send.tests()))
    name = send.name or operation["summary"]
    return {"name": name, "event": events, "request": request, "response": []}


def _example(schema: Object, variables: dict[str, str]) -> Object:
    """The example of a body, with an email that is not taken and the ids of the collection."""
    return _with_variables(schema["examples"][0], variables)


def _with_variables(example: Object, variables: dict[str, str]) -> Object:
    fields = dict(example)
    for name, value in fields.items():
        if name == "email":
            fields[name] = "ada-{{$guid}}@example.com"
        elif name in variables:
            fields[name] = f"{{{{{name}}}}}"
        elif name == "data":  # the rows of a batch
            fields[name] = [_with_variables(row, variables) for row in value]
    return fields


def _body(media_type: str, body: Object | str) -> Object:
    if mode := FORM_MODES.get(media_type):
        assert isinstance(body, dict)
        fields = [{"key": key, "value": value, "type": "text"} for key, value in body.items()]
        return {"mode": mode, mode: fields}
    raw = body if isinstance(body, str) else json.dumps(body, indent=2)
    language = "json" if "json" in media_type else "text"
    return {"mode": "raw", "raw": raw, "options": {"raw": {"language": language}}}


def _url(path: str, query: str) -> Object:
    url: Object = {
        "raw": f"http://{{{{host}}}}:{{{{port}}}}{path}{f'?{query}' if query else ''}",
        "protocol": "http",
        "host": ["{{host}}"],
        "port": "{{port}}",
        "path": path.removeprefix("/").split("/"),
    }
    if query:
        pairs = (part.partition("=") for part in query.split("&"))
        url["query"] = [{"key": key, "value": value} for key, _, value in pairs]
    return url


def _event(listen: str, script: list[str]) -> Object:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": script}}


def write() -> str:
    """The text of the file."""
    document = create_app(Settings(_env_file=None)).openapi()
    return json.dumps(collection(document), indent=2, ensure_ascii=False) + "\n"
