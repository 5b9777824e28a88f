"""Makes schemas plain, so that generators of clients understand all of them."""

from typing import Any, Final

from app.api.openapi.examples import Schema

NULL: Final = {"type": "null"}
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def simplify(schema: Schema) -> Schema:
    """The same schema, without a title, in fewer words.

    What may be null has null as one of its types: its description and its limits belong to the
    whole. A bound without a fraction is a whole number.
    """
    simple = {key: _simplify(key, value) for key, value in schema.items() if key != "title"}
    match simple:
        case {"anyOf": [one, {"type": "null"}], **rest}:
            # A list of types would not let null through an enum.
            if "type" in one and not {"enum", "const"} & one.keys():
                return {**one, **rest, "type": [one["type"], "null"]}
            return {"oneOf": [one, NULL], **rest}
    return simple


def _simplify(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: simplify(field) for name, field in value.items()}
    if key == "items":
        return simplify(value)
    if key in ("anyOf", "oneOf"):
        return [simplify(one) for one in value]
    return int(value) if key in _BOUNDS and value == int(value) else value
