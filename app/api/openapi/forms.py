"""The schemas of forms, made from those of JSON bodies."""

import re
from typing import Final

from app.api.openapi.examples import Schema, name_of
from app.api.openapi.schemas import NULL

_EMPTY: Final = {"type": "string", "maxLength": 0}


def as_form(schema: Schema, name: str, schemas: dict[str, Schema]) -> Schema:
    """The schema of a form, in which all values are text and an empty value is null."""
    fields = {field: _in_form(one, schemas) for field, one in schema["properties"].items()}
    description = f"{schema['description']} An empty value is null."
    return {**schema, "properties": fields, "title": name, "description": description}


def _in_form(field: Schema, schemas: dict[str, Schema]) -> Schema:
    """The first alternative of a field, or an empty text if the field may be null."""
    first = _first(field, schemas)
    nullable = NULL in field.get("oneOf", ()) or "null" in field.get("type", ())
    if not nullable or _takes_empty(first):
        return first
    about: Schema = {key: first.pop(key) for key in ("description", "examples") if key in first}
    return {"oneOf": [first, _EMPTY], **about}


def _first(field: Schema, schemas: dict[str, Schema]) -> Schema:
    """The first alternative of a field, with the field's own description and examples."""
    own = {key: value for key, value in field.items() if key not in ("title", "oneOf", "$ref")}
    if "$ref" in field:
        return _first(schemas[name_of(field)], schemas) | own
    if "oneOf" in field:
        return _first(field["oneOf"][0], schemas) | own
    if isinstance(field.get("type"), list):
        own["type"] = field["type"][0]
    return own


def _takes_empty(text: Schema) -> bool:
    pattern: str = text.get("pattern", "")
    return not text.get("minLength") and "format" not in text and bool(re.search(pattern, ""))
