"""Bad rows are written to a file so that they can be corrected and imported again."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from app.api.imports.records import REJECTED, Form, lines_of, read_rows
from app.cli.outputs import FileError
from app.cli.rejected import RejectedRows
from app.errors import Fault, FaultCode

HEADER = ("email", "username")


def fault(row: int, pointer: str = "/email", code: FaultCode = "invalid_format") -> Fault:
    return Fault(row=row, pointer=pointer, code=code, detail=f"{pointer} is bad.")


def read_csv(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.reader(file, delimiter=delimiter, strict=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rejected"


class TestFile:
    def test_is_not_made_without_rows(self, path: Path) -> None:
        RejectedRows(path, Form("csv", header=HEADER))
        assert not path.exists()

    def test_grows_batch_by_batch(self, path: Path) -> None:
        rejected = RejectedRows(path, Form("csv", header=HEADER))
        for row in (3, 7):
            rejected.write([([f"a{row}", "b"], [fault(row)])])
            assert [cells[0] for cells in read_csv(path)][-1] == str(row)
        assert len(read_csv(path)) == 3

    def test_replaces_no_other(self, path: Path) -> None:
        path.write_text("the rows of yesterday")
        with pytest.raises(FileError, match="is there already"):
            RejectedRows(path, Form("csv", header=HEADER))
        assert path.read_text() == "the rows of yesterday"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("/dev/full", "No space left on device"), ("/nowhere/x", "No such file or directory")],
    )
    def test_that_cannot_be_written_is_reported(self, name: str, reason: str) -> None:
        rejected = RejectedRows(Path(name), Form("csv", header=HEADER))
        with pytest.raises(FileError, match=f"^{name}: {reason}$"):
            rejected.write([(["a", "b"], [fault(1)])])


class TestCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_has_the_row_as_it_was_behind_what_is_wrong(self, path: Path, delimiter: str) -> None:
        rejected = RejectedRows(path, Form("csv", header=HEADER, delimiter=delimiter))
        row = ['a"b,c;d\te\r\nf\rg', "'=😀"]
        rejected.write([(row, [fault(5), fault(5, "/username", "too_long")])])
        header, cells = read_csv(path, delimiter)
        assert header == [*REJECTED, *HEADER]
        assert cells == [
            "5",
            "/email /username",
            "invalid_format too_long",
            "/email is bad. /username is bad.",
            *row,
        ]

    @pytest.mark.parametrize("row", [["a"], [], ["a", "b", "c", ""]])
    def test_has_all_cells_of_a_row_with_another_number_of_them(
        self, path: Path, row: list[str]
    ) -> None:
        rejected = RejectedRows(path, Form("csv", header=HEADER))
        rejected.write([(row, [fault(1, "", "too_short")])])
        assert read_csv(path)[1][len(REJECTED) :] == row

    def test_replaces_what_was_wrong_before(self, path: Path) -> None:
        header = ("rejected_row", "email", "rejected_code", "username")
        rejected = RejectedRows(path, Form("csv", header=header))
        rejected.write([(["9", "a", "old", "b", "more"], [fault(1)])])
        assert read_csv(path) == [
            [*REJECTED, *HEADER],
            ["1", "/email", "invalid_format", "/email is bad.", "a", "b", "more"],
        ]


class TestNdjson:
    def write(self, path: Path, *lines: str) -> list[str]:
        rejected = RejectedRows(path, Form("ndjson"))
        rejected.write((line, [fault(row)]) for row, line in enumerate(lines, 1))
        return path.read_text(encoding="utf-8").splitlines()

    @pytest.mark.parametrize(
        "line",
        [
            '{"email": "a", "email": "b"}',
            '{"email": "\\ud800 \\u0000", "n": 1e400}',
            '{"n": ' + "9" * 5000 + "}",
            ' { "email" : "אא😀", "x": {"rejected_row": 1} } \r\n',
            "{}",
            "{ }\n",
        ],
    )
    def test_has_the_members_as_they_were_written(self, path: Path, line: str) -> None:
        (written,) = self.write(path, line)
        assert written.startswith('{"rejected_row": 1, "rejected_field": "/email", ')
        inner = line.strip()[1:].strip()
        assert written.endswith(inner)
        form, rows = read_rows(lines_of([written.encode()]), Form("ndjson"), (), ())
        _, before = read_rows(lines_of([line.encode()]), Form("ndjson"), (), ())
        assert str(form.fields(next(rows))) == str(form.fields(next(before)))

    @pytest.mark.parametrize("line", ["{", "[1]", "null", 'say "x"', '{"a": NaN}', "\ufeff{}"])
    def test_has_a_line_that_is_no_object_as_text(self, path: Path, line: str) -> None:
        (written,) = self.write(path, line + "\r\n")
        found: dict[str, Any] = json.loads(written)
        assert found["rejected_line"] == line
        assert found["rejected_row"] == 1

    def test_replaces_what_was_wrong_before(self, path: Path) -> None:
        (written,) = self.write(path, '{"email": "a \\" }, {", "username": "b"}')
        old = written.replace("is bad", 'was \\"bad\\"')
        again = path.with_name("again")
        assert self.write(again, old) == [written]

    def test_replaces_it_where_nothing_else_was(self, path: Path) -> None:
        (written,) = self.write(path, "{}")
        assert self.write(path.with_name("again"), written) == [written]
