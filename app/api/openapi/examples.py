"""Examples of schemas and bodies, built from the examples of their fields."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
REF = "#/components/schemas/"


def name_of(reference: Schema) -> str:
    """The name of the schema that a reference points to."""
    name: str = reference["$ref"].removeprefix(REF)
    return name


def parts_of(node: Any) -> Iterator[Schema]:
    """All objects in a part of a document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        yield from parts_of(inner)


def add_body_examples(document: Schema) -> None:
    """Give each body that an operation takes the example of its schema."""
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {"content": {}})["content"].values():
                body["example"] = example_of(body["schema"], schemas)


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


def files_of(row: Schema) -> Schema:
    """The content of a body that is a file of such rows."""
    table = io.StringIO()
    csv.writer(table).writerows((row, row.values()))
    examples = {"text/csv": table.getvalue(), "application/x-ndjson": json.dumps(row) + "\n"}
    return {
        media_type: {"schema": {"type": "string", "format": "binary", "examples": [example]}}
        for media_type, example in examples.items()
    }
