"""Exports hold what GET and the lists hold, in both formats."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.postgres import copies as copies_module
from app.resources import inserts
from app.resources.exports import ExportQuery, export_of, unpaged
from tests.catalog import Entry, Row, entry_of, every_resource
from tests.databases import OneConnectionCopies
from tests.pages import walk
from tests.resources.test_json_rows import INSTANTS, TEXTS
from tests.resources.test_resource import (
    BYTES,
    FULL,
    GADGETS,
    GadgetQuery,
    session,
    values,
)

__all__ = ["session"]

MANY = 400  # so that PostgreSQL sends them in more than one piece


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece that PostgreSQL sends is one of the export."""
    monkeypatch.setattr(copies_module, "PIECE_SIZE", 1)


async def export(client: httpx.AsyncClient, entry: Entry, **query: Any) -> bytes:
    answer = await client.get(f"{entry.path}:export", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of JSON as CSV has it."""
    return {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in row.items()
    }


def read_csv(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


async def lines_of(client: httpx.AsyncClient, entry: Entry, rows: list[Row]) -> bytes:
    """What GET gives for each of the rows."""
    answers = [await client.get(f"{entry.path}/{row['id']}") for row in rows]
    return b"".join(answer.content + b"\n" for answer in answers)


def value_for(entry: Entry, name: str, rows: list[Row]) -> str:
    """A value for a filter, from these rows."""
    if name in entry.rules:
        return str(entry.rules[name].values(rows)[0])
    fields = name, name.rpartition("_")[0]
    value = next(row[one] for row in rows for one in fields if row.get(one) is not None)
    return str(value.isoformat() if isinstance(value, datetime) else value)


@every_resource
class TestOfEachResource:
    async def test_has_what_get_gives_in_the_order_of_each_sort(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        await entry.insert(connection, [{"created": at, "updated": at} for at in INSTANTS] * 3)
        sorts = [f"{sign}{name}" for name in entry.resource.sorts for sign in ("", "-")]
        for sort in (None, *sorts):
            query = {} if sort is None else {"sort": sort}
            rows, _ = await walk(client, entry.path, **query)
            assert len(rows) >= 9
            assert await export(client, entry, **query) == await lines_of(client, entry, rows)

    async def test_has_the_rows_that_each_filter_lets_through(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        rows = await entry.insert(connection, [{}] * 12)
        for name in entry.lists[0].filters:
            query = {name: value_for(entry, name, rows)}
            expected, _ = await walk(client, entry.path, limit="200", **query)
            assert [
                json.loads(line) for line in (await export(client, entry, **query)).splitlines()
            ] == expected, urlencode(query)

    @pytest.mark.parametrize("words", TEXTS)
    async def test_holds_any_text(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, words: str
    ) -> None:
        rows = await entry.insert(connection, [dict.fromkeys(entry.texts, words), {}])
        shown = [(await client.get(f"{entry.path}/{row['id']}")).json() for row in rows]
        query = {"sort": "created"}
        in_order = sorted(shown, key=lambda row: row["id"])
        assert await export(client, entry, **query) == await lines_of(client, entry, in_order)
        text = await export(client, entry, format="csv", **query)
        assert read_csv(text) == [cells(row) for row in in_order]

    @pytest.mark.usefixtures("small_pieces")
    async def test_is_the_same_in_many_pieces(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        texts = dict.fromkeys(entry.texts, 'a "b",\r\nc\n')
        await entry.insert(connection, [texts if n % 2 else {} for n in range(MANY)])
        rows, _ = await walk(client, entry.path, limit="200")
        lines = (await export(client, entry)).splitlines()
        assert [json.loads(line) for line in lines] == rows
        text = await export(client, entry, format="csv")
        assert read_csv(text) == [cells(row) for row in rows]

    async def test_without_rows_is_empty(self, client: httpx.AsyncClient, entry: Entry) -> None:
        header = ",".join(entry.resource.names).encode() + b"\r\n"
        assert await export(client, entry) == b""
        assert await export(client, entry, format="csv") == header
        text = await export(client, entry, format="csv", spreadsheet="true")
        assert text == b"\xef\xbb\xbf" + header

    async def test_in_csv_has_crlf_and_empty_cells(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        empty = dict.fromkeys(sorted(entry.nullable))
        rows = await entry.insert(connection, [empty, empty])
        text = await export(client, entry, format="csv", sort="created")
        lines = text.decode().split("\r\n")
        assert [line.split(",")[0] for line in lines] == ["id", *sorted(r["id"] for r in rows), ""]
        assert "\n" not in "".join(lines)
        assert '"' not in text.decode()


FORMULAS = ["=1+1", "+1", "-1", "@a", "'a", "\ta", "\ra"]


@pytest.mark.parametrize("text", FORMULAS)
async def test_for_spreadsheets_has_no_formula(
    client: httpx.AsyncClient, connection: AsyncConnection, text: str
) -> None:
    entry = entry_of("/items")
    await entry.insert(connection, [{"description": text}, {"description": f"a{text}"}])
    body = await export(client, entry, format="csv", spreadsheet="1", sort="created")
    assert body.startswith(b"\xef\xbb\xbfid,")
    found = [row["description"] for row in read_csv(body)]
    assert sorted(found) == sorted([f"'{text}", f"a{text}"])
    plain = await export(client, entry, format="csv", spreadsheet="0")
    assert sorted(row["description"] for row in read_csv(plain)) == sorted([text, f"a{text}"])


async def test_an_empty_text_is_an_empty_cell(
    client: httpx.AsyncClient, connection: AsyncConnection
) -> None:
    entry = entry_of("/items")
    await entry.insert(connection, [{"description": ""}])
    assert b'""' not in await export(client, entry, format="csv")
    assert b'"description":"",' in await export(client, entry)


@unpaged
class GadgetExportQuery(GadgetQuery, ExportQuery):
    """Of a resource with a column of each type."""


class TestOfEachType:
    @pytest.mark.parametrize("fields", [{}, FULL, {"code": "=1", "size": 5, "works": True}])
    async def test_is_as_in_json(self, session: AsyncSession, fields: Row) -> None:
        row = await inserts.create(session, GADGETS, values(**fields))
        copies = OneConnectionCopies(await session.connection())
        line = BYTES.dump_json(row)
        assert await text_of(copies, "ndjson") == line + b"\n"
        assert read_csv(await text_of(copies, "csv")) == [cells(json.loads(line))]
        sheet = read_csv((await text_of(copies, "csv", spreadsheet=True))[3:])
        plain = cells(json.loads(line))
        safe = {n: f"'{c}" if c.startswith(("-", "=")) else c for n, c in plain.items()}
        assert sheet == [safe]

    async def test_counts_its_rows(self, session: AsyncSession) -> None:
        for number in (1, 2, 3):
            await inserts.create(session, GADGETS, values(number))
        copies = OneConnectionCopies(await session.connection())
        export = export_of(GADGETS, GadgetExportQuery(rank_gte=2), "ndjson")
        seen: list[int] = []

        async def write(_: bytes) -> None:
            seen.append(export.rows)

        await export.write(copies, write)
        assert (export.rows, seen[-1]) == (2, 2)


async def text_of(
    copies: OneConnectionCopies, text_format: Literal["ndjson", "csv"], **query: Any
) -> bytes:
    pieces: list[bytes] = []

    async def write(piece: bytes) -> None:
        pieces.append(piece)

    await export_of(GADGETS, GadgetExportQuery(**query), text_format).write(copies, write)
    return b"".join(pieces)


def test_a_query_is_that_of_the_list_without_pages() -> None:
    taken, listed = GadgetExportQuery.model_fields, GadgetQuery.model_fields
    assert taken.keys() == {"format", "spreadsheet", "sort", "rank_gte"}
    assert taken["sort"].annotation == listed["sort"].annotation
