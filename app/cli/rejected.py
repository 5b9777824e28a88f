"""Writes bad rows to a file, in which they can be corrected and imported."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Final

from app.api.bodies.json_text import parse_json
from app.api.imports.records import REJECTED, Form, Source
from app.cli.outputs import FileError
from app.errors import Fault, MalformedBody

# The members that are written before those of a row.
_WRITTEN: Final = re.compile(
    r'\s*\{\s*(?:"rejected_(?:row|field|code|reason)": '
    r'(?:[0-9]+|"[^"\\]*(?:\\.[^"\\]*)*")(?:, |(?=\})))*'
)


class RejectedRows:
    """A file of rows as they were, with their number and the fields, codes and reasons of faults.

    It is made with the first row, and replaces no other file. Errors: FileError.
    """

    def __init__(self, path: Path, form: Form) -> None:
        if path.is_file():
            raise FileError(f"{path}: It is there already. Choose another name.")
        self._path = path
        self._form = form
        self._is_begun = False
        # An imported file of rejected rows has these columns already.
        self._kept = [at for at, name in enumerate(form.header) if name not in REJECTED]

    def write(self, rows: Iterable[tuple[Source, Sequence[Fault]]]) -> None:
        """Add rows; they are in the file when this returns."""
        lines = StringIO(newline="")
        if self._form.format == "csv" and not self._is_begun:
            header = (*REJECTED, *(self._form.header[at] for at in self._kept))
            self._write_cells(lines, header)
        for source, faults in rows:
            self._write(lines, source, faults)
        try:
            mode = "a" if self._is_begun else "w"
            with self._path.open(mode, encoding="utf-8", newline="") as file:
                file.write(lines.getvalue())
        except OSError as error:
            raise FileError(f"{self._path}: {error.strerror}") from error
        self._is_begun = True

    def _write(self, lines: StringIO, source: Source, faults: Sequence[Fault]) -> None:
        why = (
            faults[0]["row"],
            *(" ".join(fault[name] for fault in faults) for name in ("pointer", "code", "detail")),
        )
        if isinstance(source, str):
            lines.write(_with_members(dict(zip(REJECTED, why, strict=True)), source))
        else:
            # Of a row with too many cells all are written.
            kept = [source[at] for at in self._kept if at < len(source)]
            self._write_cells(lines, (*why, *kept, *source[len(self._form.header) :]))

    def _write_cells(self, lines: StringIO, cells: Iterable[object]) -> None:
        csv.writer(lines, delimiter=self._form.delimiter).writerow(cells)


def _with_members(why: dict[str, object], line: str) -> str:
    """The line with more members, or in one if it is not an object. Its own members stay as they
    were written: some could not be written again, or would not be wrong any more.
    """
    try:
        is_object = isinstance(parse_json(line.encode()), dict)
    except MalformedBody:
        is_object = False
    if not is_object:
        line = json.dumps({"rejected_line": line.rstrip("\r\n")}, ensure_ascii=False)
    rest = _WRITTEN.sub("", line, count=1).strip()
    members = json.dumps(why, ensure_ascii=False)[:-1]
    return f"{members}{'' if rest == '}' else ', '}{rest}\n"
