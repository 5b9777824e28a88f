"""Exports: all rows that a query lets through, as lines of JSON or as CSV.

PostgreSQL writes the values, and each piece of many rows is completed here at once: a row is no
object of its own. To do all of it there, or each row alone here, takes twice as long.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    Field,
    ValidationInfo,
    create_model,
)
from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    Numeric,
    Select,
    String,
    literal_column,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.postgres.copies import Copies, Replica, Write
from app.resources.fields import Flag, fault
from app.resources.json_rows import INSTANT, json_member
from app.resources.lists import PageQuery, filter_rows, order_of
from app.resources.resource import Resource

Format = Literal["ndjson", "csv"]
# Completes a piece, and counts its rows.
Complete = Callable[[bytes], tuple[bytes, int]]

# Control characters, of which JSON has none: COPY quotes nothing, and each is between two values.
_QUOTE, _DELIMITER = "\x01", "\x02"
# The characters that a formula of a spreadsheet may begin with, and the one that prevents it.
FORMULA: Final = "=+-@'\t\r"
_FORMULA: Final = ", ".join(str(ord(character)) for character in FORMULA)
_BOM: Final = b"\xef\xbb\xbf"
_INSTANT_SIZE: Final = len("2026-01-31 09:30:00.000000")


ONLY_CSV: Final = "Only CSV is for spreadsheets: add format=csv."


def _for_csv(value: bool, info: ValidationInfo) -> bool:
    if value and info.data.get("format") == "ndjson":
        raise fault("invalid_format", ONLY_CSV)
    return value


class ExportQuery(BaseModel):
    """The parameters of every export, besides the filters and sorts of the list."""

    format: Annotated[
        Format | MISSING,
        Field(
            description="`ndjson`: a line of JSON for each row, as GET gives it; `csv`: RFC 4180, "
            "with a header. The default is what `Accept` asks for, else `ndjson`"
        ),
    ] = MISSING
    spreadsheet: Annotated[
        Flag,
        AfterValidator(_for_csv),
        Field(
            description="CSV for spreadsheets: with a byte order mark, and with `'` before each "
            "cell that would be a formula"
        ),
    ] = False
    sort: str = "-created"


Query = TypeVar("Query", bound=ExportQuery)


def unpaged(query: type[Query]) -> type[Query]:
    """The query of an export from that of a list, without the parameters of pages."""
    paging = PageQuery.model_fields.keys() - ExportQuery.model_fields.keys()
    fields: Any = {
        name: (hint, query.model_fields[name].default)
        for name, hint in get_type_hints(query, include_extras=True).items()
        if name in query.model_fields and name not in paging
    }
    create: Any = create_model  # to type checkers, the base must be the type that is returned
    made: type[Query] = create(
        query.__name__,
        __base__=ExportQuery,
        __doc__=query.__doc__,
        __module__=query.__module__,
        **fields,
    )
    return made


@dataclass(slots=True)
class Export:
    """The rows of a resource as text.

    options: of COPY. What it writes, `complete` makes the text of.
    starts_with: what the text begins with, before the first row.
    rows: how many were written so far.
    """

    name: str
    format: Format
    statement: Select[Any]
    parameters: Mapping[str, Any]
    options: Mapping[str, Any]
    complete: Complete
    starts_with: bytes = b""
    rows: int = 0

    async def write(self, copies: Copies, write: Write, replica: Replica | None = None) -> None:
        """Write the text in pieces, from a replica if there is one. Errors: Overloaded, those of
        the database and of `write`.
        """

        async def complete(piece: bytes) -> None:
            text, rows = self.complete(piece)
            if self.starts_with:
                text, self.starts_with = self.starts_with + text, b""
            self.rows += rows
            await write(text)

        self.rows = await copies.copy(
            self.statement, self.parameters, self.options, complete, replica
        )


def start_gzip() -> Any:
    """Compresses the pieces of a text, fast: level 6 takes three times as long for a tenth less."""
    return zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)


def export_of(resource: Resource[Any], query: ExportQuery, text_format: Format) -> Export:
    """The export of the rows that a query lets through, in its order."""
    filtered, parameters = filter_rows(resource.listing, query)
    ordered = filtered.order_by(*order_of(resource.listing, query.sort))
    options: Mapping[str, Any]
    if text_format == "ndjson":
        columns, complete = _json_lines(resource.columns)
        options = {"format": "csv", "quote": _QUOTE, "delimiter": _DELIMITER}
    else:
        columns = [_cell(column, spreadsheet=query.spreadsheet) for column in resource.columns]
        complete = _complete_csv
        options = {"format": "csv", "header": True}
    named: list[Any] = [
        literal_column(column).label(name)
        for name, column in zip(resource.names, columns, strict=True)
    ]
    statement = ordered.with_only_columns(*named)
    start = _BOM if query.spreadsheet else b""
    return Export(resource.table.name, text_format, statement, parameters, options, complete, start)


def _json_lines(columns: Sequence[Column[Any]]) -> tuple[list[str], Complete]:
    """SQL for the values of a line, and what puts them into lines."""
    values: list[str] = []
    members: list[str] = []
    instants: list[int] = []
    for column in columns:
        before, value, after = json_member(column)
        if isinstance(column.type, TIMESTAMP) and not column.nullable:
            # to_char takes a third of the time of the whole line.
            value, after = f"timezone('UTC', {column.table.name}.{column.name})", 'Z"'
            instants.append(len(values))
        values.append(value)
        members.append(f'"{column.key}":{before}%b{after}')
    line = f"{{{','.join(members)}}}\n".encode()
    width, delimiter = len(values), _DELIMITER.encode()

    def complete(piece: bytes) -> tuple[bytes, int]:
        cells = piece.replace(b"\n", delimiter).split(delimiter)
        cells.pop()  # what follows the last line
        for n in instants:
            cells[n::width] = [
                cell.replace(b" ", b"T") if len(cell) == _INSTANT_SIZE else _whole_instant(cell)
                for cell in cells[n::width]
            ]
        rows = len(cells) // width
        return line * rows % tuple(cells), rows

    return values, complete


def _whole_instant(cell: bytes) -> bytes:
    """An instant with six digits of its second, of which PostgreSQL writes no zeros at the end."""
    whole = cell.replace(b" ", b"T")
    return (whole if b"." in whole else whole + b".").ljust(_INSTANT_SIZE, b"0")


def _cell(column: Column[Any], *, spreadsheet: bool) -> str:
    """SQL for the value of a cell, as JSON has it; null where it is empty."""
    name = f"{column.table.name}.{column.name}"
    if isinstance(column.type, TIMESTAMP):
        return INSTANT.format(name)
    if isinstance(column.type, Boolean):
        return f"{name}::text"
    cell = f"nullif({name}, '')" if isinstance(column.type, String) else name
    if spreadsheet and isinstance(column.type, String | Numeric | Integer):
        text = f"{name}::text"
        return f"CASE WHEN ascii({text}) IN ({_FORMULA}) THEN '''' || {text} ELSE {cell}::text END"
    return cell


def _complete_csv(piece: bytes) -> tuple[bytes, int]:
    """With CRLF at the end of each row. Line breaks between quotes belong to cells."""
    parts = piece.split(b'"')
    rows = 0
    for n in range(0, len(parts), 2):
        rows += parts[n].count(b"\n")
        parts[n] = parts[n].replace(b"\n", b"\r\n")
    return b'"'.join(parts), rows
