"""Examples of the schemas of the OpenAPI document, made of the examples of their fields."""

from typing import Any

Schema = dict[str, Any]
REF = "#/components/schemas/"


def name_of(reference: Schema) -> str:
    """Of the schema that it refers to."""
    name: str = reference["$ref"].removeprefix(REF)
    return name


def example_of(schema: Schema, schemas: dict[str, Schema]) -> Any:
    """Fields that have no example are left out."""
    if "$ref" in schema:
        return example_of(schemas[name_of(schema)], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    fields = schema.get("properties", {}).items()
    parts = ((field, example_of(one, schemas)) for field, one in fields)
    return {field: part for field, part in parts if part != {}}
