"""The OpenAPI document for generators of SDKs, many of which fail at a body that may be a form."""

from typing import Any

from app.api.openapi.examples import REF, Schema, name_of, parts_of
from app.api.requests import FORM, MULTIPART


def without_forms(document: Schema) -> Schema:
    """The document without the bodies that are forms, and without the schemas that only they use.

    It shares its parts with the given one.
    """
    paths = {
        path: {method: _without_forms(operation) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = document["components"]
    schemas = components["schemas"]
    found = _schemas_in([paths, {**components, "schemas": {}}])
    queue = list(found)
    while queue:
        new = _schemas_in(schemas[queue.pop()]) - found
        found |= new
        queue += new
    kept = {name: schema for name, schema in schemas.items() if name in found}
    return {**document, "paths": paths, "components": {**components, "schemas": kept}}


def _without_forms(operation: Schema) -> Schema:
    if "requestBody" not in operation:
        return operation
    body = operation["requestBody"]
    content = {
        media_type: each
        for media_type, each in body["content"].items()
        if media_type not in (FORM, MULTIPART)
    }
    return {**operation, "requestBody": {**body, "content": content}}


def _schemas_in(node: Any) -> set[str]:
    """The names of the schemas that a part of a document refers to."""
    return {name_of(part) for part in parts_of(node) if part.get("$ref", "").startswith(REF)}
