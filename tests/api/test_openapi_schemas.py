"""Schemas are made plain without a change of what they allow."""

import pytest

from app.api.openapi.examples import Schema
from app.api.openapi.schemas import NULL, simplify

WORD: Schema = {"type": "string", "enum": ["a", "b"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {
                "anyOf": [{"type": "string", "maxLength": 9, "examples": ["x"]}, NULL],
                "title": "Note",
                "description": "A note",
            },
            {
                "type": ["string", "null"],
                "maxLength": 9,
                "examples": ["x"],
                "description": "A note",
            },
        ),
        (
            {"anyOf": [{"$ref": "#/x"}, NULL], "description": "A price"},
            {"oneOf": [{"$ref": "#/x"}, NULL], "description": "A price"},
        ),
        ({"anyOf": [WORD, NULL]}, {"oneOf": [WORD, NULL]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        (
            {"type": "object", "properties": {"title": {"type": "string", "title": "Title"}}},
            {"type": "object", "properties": {"title": {"type": "string"}}},
        ),
        (
            {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1.0}, NULL]}},
            {"type": "array", "items": {"type": ["integer", "null"], "minimum": 1}},
        ),
        (
            {"oneOf": [{"type": "number", "minimum": 0.0, "maximum": 9.5}, WORD]},
            {"oneOf": [{"type": "number", "minimum": 0, "maximum": 9.5}, WORD]},
        ),
    ],
)
def test_is_as_expected(schema: Schema, expected: Schema) -> None:
    made = simplify(schema)

    assert made == expected
    assert str(made).count(".0") == 0
