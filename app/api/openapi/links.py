"""The links between operations (OpenAPI 3.1, 4.8.20): where a response leads."""

import re
from collections.abc import Container, Iterator

from app.api.openapi.examples import Schema


def add_links(paths: Schema) -> None:
    """Link what creates a resource to what retrieves it, and each page of a list to the next."""
    for path, operations in paths.items():
        for operation in operations.values():
            for response in operation["responses"].values():
                headers = response.get("headers", ())
                if links := dict(_links(path, operation["operationId"], headers, paths)):
                    response["links"] = links


def _links(
    path: str, name: str, headers: Container[str], paths: Schema
) -> Iterator[tuple[str, Schema]]:
    """The links of a response with these headers, by their names."""
    if "Location" in headers:
        pattern = re.compile(re.escape(path) + r"/\{(\w+)\}")
        for row, operations in paths.items():
            found = pattern.fullmatch(row)
            if found and "get" in operations:
                yield (
                    "resource",
                    {
                        "operationId": operations["get"]["operationId"],
                        "parameters": {found[1]: "$response.body#/id"},
                        "description": "The resource that `Location` names",
                    },
                )
    if "Link" in headers:
        parents = {each: f"$request.path.{each}" for each in re.findall(r"\{(\w+)\}", path)}
        yield (
            "next_page",
            {
                "operationId": name,
                "parameters": {**parents, "cursor": "$response.body#/next_cursor"},
                "description": "The page after this one, unless `next_cursor` is null. Its filters "
                "and sort must be those of this one",
            },
        )
