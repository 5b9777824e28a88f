"""Names for the values of enums that are no identifiers, for generators of SDKs."""

from typing import Any

from app.api.openapi.examples import parts_of


def name_sorts(document: dict[str, Any]) -> None:
    """Name the values of sorts: `created` is `created_asc`, and `-created` is `created_desc`."""
    for part in parts_of(document):
        values = part.get("enum")
        if isinstance(values, list) and any(str(value).startswith("-") for value in values):
            part["x-enum-varnames"] = [
                f"{value.removeprefix('-')}_{'desc' if value.startswith('-') else 'asc'}"
                for value in values
            ]
