"""Imports of files in a transaction of the test: read, checked row by row, and written."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.service import ACCOUNT_IMPORT
from app.api.imports.records import Form, lines_of, read_rows
from app.api.imports.rows import RowChecker, columns_of, required_of
from app.errors import Fault
from app.items.service import ITEM_IMPORT
from app.resources.exports import Format
from app.resources.import_writes import write
from app.resources.imports import Importable, Options, Report
from tests.catalog import Entry

_IMPORTABLES: Sequence[Importable[Any]] = (ACCOUNT_IMPORT, ITEM_IMPORT)
Rows = Iterable[Mapping[str, Any]]


def importable_of(entry: Entry) -> Importable[Any]:
    return next(each for each in _IMPORTABLES if each.resource is entry.resource)


def as_ndjson(rows: Rows) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


def as_csv(rows: Rows, delimiter: str = ",", end: str = "\r\n") -> bytes:
    """With the columns of the first row."""
    file = io.StringIO(newline="")
    table = [dict(row) for row in rows]
    names = [*table[0]]
    # With all quotes, since Python leaves a CR unquoted where it does not end lines.
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *([row[name] for name in names] for row in table)])
    return file.getvalue().encode()


def check(
    entry: Entry, data: bytes, *, keeps_ids: bool = False, is_spreadsheet: bool = False
) -> tuple[list[bytes], list[Fault]]:
    """The staged lines of the good rows of a file, and the faults of the bad ones."""
    importable = importable_of(entry)
    kind: Format = "ndjson" if data.startswith(b"{") else "csv"
    columns, required = columns_of(importable), required_of(importable)
    form, rows = read_rows(lines_of([data]), Form(kind, is_spreadsheet), columns, required)
    checker = RowChecker(importable, form, keeps_ids=keeps_ids)
    lines: list[bytes] = []
    faults: list[Fault] = []
    for number, row in enumerate(rows, 1):
        checked = checker.check(number, row)
        if isinstance(checked, bytes):
            lines.append(checked)
        else:
            faults += checked
    return lines, faults


async def import_file(
    connection: AsyncConnection, entry: Entry, data: bytes, **options: Any
) -> Report:
    """Write the rows of a file, all of which are good when they are checked alone."""
    lines, faults = check(entry, data, keeps_ids=options.get("keeps_ids", False))
    assert not faults
    return await write(connection, importable_of(entry), pieces(lines), Options(**options))


async def import_rows(
    connection: AsyncConnection, entry: Entry, *rows: Mapping[str, Any], **options: Any
) -> Report:
    return await import_file(connection, entry, as_ndjson(rows), **options)


async def pieces(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
