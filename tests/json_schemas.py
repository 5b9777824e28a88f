"""Reads schemas of OpenAPI documents."""

from typing import Any

Schema = dict[str, Any]


def resolved(document: Schema, schema: Schema) -> Schema:
    """What a reference refers to; anything else is itself."""
    if "$ref" not in schema:
        return schema
    found = document
    for name in schema["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def alternatives(document: Schema, schema: Schema) -> list[Schema]:
    """The schemas of which a value has to fit one. Each has one type, or none."""
    found = resolved(document, schema)
    if inner := [*found.get("anyOf", ()), *found.get("oneOf", ())]:
        return [each for one in inner for each in alternatives(document, one)]
    kinds = found.get("type")
    return [{**found, "type": kind} for kind in kinds] if isinstance(kinds, list) else [found]
