"""Lists as a client sees them: walks through pages, and what a query lets through."""

from typing import Any

import httpx


async def walk(
    client: httpx.AsyncClient, path: str, **query: str
) -> tuple[list[dict[str, Any]], int]:
    """All rows of a list, and the number of its pages."""
    rows: list[dict[str, Any]] = []
    for pages in range(1, 100):
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["data"]
        if answer.json()["next_cursor"] is None:
            return rows, pages
        query["cursor"] = answer.json()["next_cursor"]
    raise AssertionError("the walk does not end")


async def found(client: httpx.AsyncClient, path: str, key: str, **query: Any) -> set[Any]:
    """The values of a field in the rows that a query lets through."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return {row[key] for row in answer.json()["data"]}


async def refused(client: httpx.AsyncClient, path: str) -> list[tuple[str, str]]:
    """The parameters that a list refuses, with the codes of the faults."""
    answer = await client.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_request"
    return [(fault["parameter"], fault["code"]) for fault in answer.json()["errors"]]
