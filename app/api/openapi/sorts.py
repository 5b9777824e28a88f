"""Describes parameters that sort, and names their values for generators of SDKs."""

from typing import Any

from app.api.openapi.examples import parts_of


def describe_sorts(document: dict[str, Any]) -> None:
    """Describe parameters that sort, and name their values: `created` is `created_asc`, and
    `-created` is `created_desc`.

    The default is in the description alone: openapi-generator's SDK for Kotlin calls a default by
    another name than the value, and does not compile.
    """
    for part in parts_of(document):
        schema = part.get("schema", {})
        values = schema.get("enum", ())
        if any(str(value).startswith("-") for value in values):
            default = schema.pop("default")
            part["description"] = f"`-` sorts descending. The default is `{default}`"
            schema["x-enum-varnames"] = [
                f"{value.removeprefix('-')}_{'desc' if value.startswith('-') else 'asc'}"
                for value in values
            ]
