"""Walks through the pages of a list."""

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
