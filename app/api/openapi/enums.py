"""Names for the values of enums that are no identifiers, for generators of SDKs."""

from typing import Any

from app.api.openapi.examples import parts_of


def name_sorts(document: dict[str, Any]) -> None:
    """Name the values of sorts: `created` is `created_asc`, and `-created` is `created_desc`.

    The default is in the description alone: openapi-generator's SDK for Kotlin calls a default by
    another name than the value, and does not compile.
    """
    for part in parts_of(document):
        values = part.get("enum")
        if isinstance(values, list) and any(str(value).startswith("-") for value in values):
            part.pop("default", None)
            part["x-enum-varnames"] = [
                f"{value.removeprefix('-')}_{'desc' if value.startswith('-') else 'asc'}"
                for value in values
            ]
