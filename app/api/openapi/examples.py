"""Examples of schemas, built from the examples of their fields."""

from typing import Any

Schema = dict[str, Any]
REF = "#/components/schemas/"


def name_of(reference: Schema) -> str:
    """The name of the schema that a reference points to."""
    name: str = reference["$ref"].removeprefix(REF)
    return name


def example_of(schema: Schema, schemas: dict[str, Schema]) -> Any:
    """The example of a schema, without fields that have none."""
    if "$ref" in schema:
        return example_of(schemas[name_of(schema)], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    fields = schema.get("properties", {}).items()
    parts = ((field, example_of(one, schemas)) for field, one in fields)
    return {field: part for field, part in parts if part != {}}
