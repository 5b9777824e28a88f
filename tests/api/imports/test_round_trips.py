"""What an export writes, an import reads back to the same rows."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import URL, NullPool, delete
from sqlalchemy.ext.asyncio import create_async_engine

from app.resources.fields import FormText
from tests.catalog import Entry, every_resource
from tests.imports import importable_of

TEXTS = st.text(
    st.sampled_from("\"'\n\r\t,;=+-@|\\N.\ufeff\u05d0\u202e😀 ")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=20,
)
MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


def is_taken(entry: Entry, row: dict[str, Any], value: str) -> bool:
    """Whether the text is valid, and stored as it is."""
    create = TypeAdapter(importable_of(entry).create)
    given = {name: row[name] for name in importable_of(entry).create.model_fields}
    try:
        taken = create.validate_python({**given, entry.free_text: FormText(value)})
    except ValidationError:
        return False
    return bool(getattr(taken, entry.free_text) == value)


@every_resource
@pytest.mark.parametrize(
    "query", [{"format": "ndjson"}, {"format": "csv"}, {"format": "csv", "spreadsheet": "true"}]
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@example(texts=["=1+1", "+1", "-1", "@a", "'b", "'=c", "''d"])
@example(texts=['"', 'a"b', "a,b", "a;b", "a\\N", "\\.", "\u05d0\u202ea", "😀", "|"])
async def test_of_any_text(
    database: URL,
    committed_client: httpx.AsyncClient,
    entry: Entry,
    query: dict[str, str],
    texts: list[str],
) -> None:
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.begin() as connection:
        rows = await entry.insert(connection, [{}] * len(texts))
        fields = [
            {entry.free_text: text}
            for row, text in zip(rows, texts, strict=True)
            if is_taken(entry, row, text)
        ]
        await connection.execute(delete(entry.resource.table))
        if fields:
            await entry.insert(connection, fields)
    exported = await committed_client.get(f"{entry.path}:export", params=query)
    assert exported.status_code == 200, exported.text
    async with engine.begin() as connection:
        await connection.execute(delete(entry.resource.table))
    options = {"keep_ids": "true"} | {k: v for k, v in query.items() if k == "spreadsheet"}
    answer = await committed_client.post(
        f"{entry.path}:import",
        content=exported.content,
        params=options,
        headers={"Content-Type": MEDIA_TYPES[query["format"]]},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] == len(fields)
    again = await committed_client.get(f"{entry.path}:export", params=query)
    assert again.content == exported.content
