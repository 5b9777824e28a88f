"""The schemas of forms, made from those of JSON bodies."""

from app.api.openapi.examples import Schema, name_of


def as_form(schema: Schema, name: str, schemas: dict[str, Schema]) -> Schema:
    """The schema of a form: each field takes text, the first of its alternatives."""
    fields = {field: _first(one, schemas) for field, one in schema["properties"].items()}
    description = f"{schema['description']} An empty value is null."
    return {**schema, "properties": fields, "title": name, "description": description}


def _first(field: Schema, schemas: dict[str, Schema]) -> Schema:
    """The first alternative of a field, with the field's own description and examples."""
    own = {key: value for key, value in field.items() if key not in ("title", "oneOf", "$ref")}
    if "$ref" in field:
        return _first(schemas[name_of(field)], schemas) | own
    if "oneOf" in field:
        return _first(field["oneOf"][0], schemas) | own
    if isinstance(field.get("type"), list):
        return field | {"type": field["type"][0]}
    return field
