"""Splits a file into records: CSV with any of the usual delimiters, or NDJSON.

It works line by line, so the memory that it needs depends on the longest line, not on the file.
"""

import csv
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from app.api.bodies.json_text import parse_json
from app.api.bodies.values import NOT_TEXT
from app.api.faults import pointer_to
from app.errors import BodyTooLarge, Fault, FaultCode, InvalidRequest, MalformedBody
from app.resources.exports import FORMULA, Format
from app.resources.fields import FormText

MAX_LINE: Final = 2**20  # bytes, of a row that has several lines too
# Columns in which rejected rows say why; they are read over when the rows are imported again.
REJECTED: Final = ("rejected_row", "rejected_field", "rejected_code", "rejected_reason")
DELIMITERS: Final = (",", ";", "\t")
_LONG_LINE: Final = "A line is longer than 1 MiB."
_GZIP: Final = 16 + zlib.MAX_WBITS
_PIECE: Final = 2**14
_MAX_FAULTS: Final = 100  # of a header
_BLANKS: Final = " \t\r\n"
# What a spreadsheet would take for a formula, and an export writes behind a `'`.
_FORMULA: Final = tuple(f"'{character}" for character in FORMULA)

# Of the whole process. Ours is that of lines.
csv.field_size_limit(MAX_LINE)


class BadRow(Exception):
    """A row that cannot be read. The rows behind it can."""

    def __init__(self, code: FaultCode, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(pointer="", code=code, detail=detail)


# A row as a file has it: its cells, or its line of JSON.
Source = list[str] | str


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a file are written.

    header: the names of the columns of CSV.
    is_spreadsheet: whether a `'` stands before what a spreadsheet would take for a formula.
    """

    format: Format
    is_spreadsheet: bool = False
    header: tuple[str, ...] = ()
    delimiter: str = ","

    def fields(self, source: Source) -> dict[str, Any]:
        """The values of a row by their names. Errors: BadRow, where it cannot be read."""
        if isinstance(source, str):
            return _object(source)
        if len(source) != len(self.header):
            code: FaultCode = "too_long" if len(source) > len(self.header) else "too_short"
            raise BadRow(code, "Must have a cell for each column.")
        pairs = zip(self.header, source, strict=True)
        return {name: self._value(cell) for name, cell in pairs if name not in REJECTED}

    def _value(self, cell: str) -> Any:
        if self.is_spreadsheet and cell.startswith(_FORMULA):
            cell = cell[1:]
        if "\0" in cell:
            return NOT_TEXT
        return FormText(cell) if cell else None


def read_rows(
    lines: Iterator[str],
    form: Form,
    columns: Collection[str],
    required: Iterable[Sequence[str]],
) -> tuple[Form, Iterator[Source]]:
    """The form with its header, and the rows.

    columns: those that the file may have; required: those that CSV must have, one of each tuple.
    Errors: InvalidRequest for other columns, and MalformedBody, also while the rows are read.
    """
    if form.format == "ndjson":
        return form, (line for line in lines if line.strip(_BLANKS))
    first = next(filter(str.strip, lines), "")
    # A file is separated as the names of its header are.
    delimiter = max(DELIMITERS, key=lambda each: len({*_split_header(first, each)} & {*columns}))
    rows = _cells(chain((first,), lines), delimiter)
    header = tuple(next(rows, ()))
    _check_header(header, columns, required)
    return replace(form, header=header, delimiter=delimiter), rows


def _split_header(line: str, delimiter: str) -> list[str]:
    return [name.strip('"') for name in line.rstrip("\r\n").split(delimiter)]


def _cells(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    limited = _RowLimit(lines)
    try:
        for cells in csv.reader(limited, delimiter=delimiter, strict=True):
            limited.start_row()
            if cells:
                yield cells
    except csv.Error as error:
        raise MalformedBody(f"Line {limited.number} of the file: {error}.") from None


def _object(line: str) -> dict[str, Any]:
    try:
        value = parse_json(line.encode())
    except MalformedBody:
        raise BadRow("invalid_format", "Must be one JSON object on a line.") from None
    if not isinstance(value, dict):
        raise BadRow("wrong_type", "Must be an object.")
    for name in REJECTED:
        value.pop(name, None)
    return value


def _check_header(
    header: Sequence[str], columns: Collection[str], required: Iterable[Sequence[str]]
) -> None:
    faults = []
    seen: set[str] = set()
    for name in header:
        pointer = pointer_to(name)
        if name not in columns and name not in REJECTED:
            faults.append(Fault(pointer=pointer, code="unknown", detail="No such column."))
        elif name in seen:
            faults.append(Fault(pointer=pointer, code="duplicate", detail="Given more than once."))
        seen.add(name)
        if len(faults) == _MAX_FAULTS:
            break
    for names in required:
        if seen.isdisjoint(names):
            detail = f"The column {' or '.join(names)} is required."
            faults.append(Fault(pointer=f"/{names[0]}", code="required", detail=detail))
    if faults:
        raise InvalidRequest(errors=faults[:_MAX_FAULTS])


class _RowLimit:
    """Lines, of which a row may have no more than MAX_LINE characters together."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._length = 0
        self.number = 0

    def start_row(self) -> None:
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self._length += len(line)
        if self._length > MAX_LINE:
            raise csv.Error("a row is longer than 1 MiB, perhaps since a quote is not closed")
        return line


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 file, with their ends, without a byte order mark.

    Errors: MalformedBody for other encodings and for lines of more than 1 MiB.
    """
    lines = map(_decode, _split(pieces))
    yield next(lines, "").removeprefix("\ufeff")
    yield from lines


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = bytearray()  # grows at its end, since a line may come byte by byte
    for piece in pieces:
        rest += piece
        if b"\n" in piece:
            *whole, last = bytes(rest).split(b"\n")
            for line in whole:
                yield line + b"\n"
            rest = bytearray(last)
        if len(rest) > MAX_LINE:
            raise MalformedBody(_LONG_LINE)
    if rest:
        yield bytes(rest)


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise MalformedBody(_LONG_LINE)
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise MalformedBody("The file is not UTF-8.") from None


def unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a gzip file holds, in small pieces: of a few bytes it can make a thousand times more.

    Errors: MalformedBody, where it is damaged or has no end.
    """
    decoder = zlib.decompressobj(_GZIP)
    # zlib copies what is left of a piece at each step.
    for piece in (each[n : n + _PIECE] for each in pieces for n in range(0, len(each), _PIECE)):
        data = piece
        while data:
            if decoder.eof:  # files may have been put one behind another
                decoder = zlib.decompressobj(_GZIP)
            try:
                unpacked = decoder.decompress(data, 4 * _PIECE)
            except zlib.error:
                raise MalformedBody("The gzip data are damaged.") from None
            if unpacked:
                yield unpacked
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if not decoder.eof:
        raise MalformedBody("The gzip data are truncated.")


def counted(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The pieces, up to `limit` bytes. Errors: BodyTooLarge."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise BodyTooLarge
        yield piece
