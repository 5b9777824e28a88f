"""Files become rows: lines, cells, gzip and encodings, at a memory that no file decides."""

import csv
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.bodies.values import NOT_TEXT, TWICE
from app.api.imports import records
from app.api.imports.records import (
    DELIMITERS,
    MAX_LINE,
    REJECTED,
    BadRow,
    Form,
    counted,
    lines_of,
    read_rows,
    unzipped,
)
from app.errors import BodyTooLarge, InvalidRequest, MalformedBody
from app.resources.exports import Format
from tests.complexity import is_linear

COLUMNS = ("email", "username", "note")
REQUIRED = [["email", "id"], ["username"]]
CSV = Form("csv")
NDJSON = Form("ndjson")


def rows_of(*pieces: bytes, form: Form = CSV) -> list[dict[str, Any]]:
    found, rows = read_rows(lines_of(pieces), form, COLUMNS, REQUIRED)
    return [found.fields(row) for row in rows]


def faults_of(header: bytes) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidRequest) as caught:
        rows_of(header + b"\n")
    return [(fault.get("pointer"), fault["code"]) for fault in caught.value.errors]


def never_much(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Fails the test where more is read than a row may have."""
    size = 0
    for piece in pieces:
        size += len(piece)
        assert size < 2 * MAX_LINE
        yield piece


class TestLines:
    def test_come_whole_however_they_were_cut(self) -> None:
        data = "email,username\r\né,😀\na,\u05d0".encode()
        for size in range(1, len(data) + 1):
            pieces = [data[n : n + size] for n in range(0, len(data), size)]
            assert [*lines_of(pieces)] == ["email,username\r\n", "é,😀\n", "a,\u05d0"]

    def test_lose_a_byte_order_mark_at_the_start_only(self) -> None:
        assert [*lines_of(["\ufeffa\n\ufeffb".encode()])] == ["a\n", "\ufeffb"]

    def test_of_nothing_are_blank(self) -> None:
        assert "".join(lines_of([])) == ""

    @pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-32"])
    def test_of_other_encodings_are_refused(self, encoding: str) -> None:
        with pytest.raises(MalformedBody, match=r"^The file is not UTF-8\.$"):
            [*lines_of(["email,username\nä,b\n".encode(encoding)])]

    def test_of_mixed_encodings_are_refused_where_they_differ(self) -> None:
        lines = lines_of(["é\n".encode(), "é\n".encode("latin-1")])
        assert next(lines) == "é\n"
        with pytest.raises(MalformedBody, match="not UTF-8"):
            next(lines)

    @pytest.mark.parametrize("end", [b"\n", b""])
    def test_have_at_most_1_mib(self, end: bytes) -> None:
        longest = b"x" * (MAX_LINE - len(end)) + end
        assert [*lines_of([b"a\n", longest])] == ["a\n", longest.decode()]
        with pytest.raises(MalformedBody, match=r"^A line is longer than 1 MiB\.$"):
            [*lines_of([b"a\nx", longest])]

    def test_without_end_are_refused_before_they_are_read(self) -> None:
        pieces = iter(repeat(b"x" * 2**16, 2**15))  # 2 GiB
        with pytest.raises(MalformedBody, match="longer than 1 MiB"):
            [*lines_of(pieces)]
        assert len([*pieces]) == 2**15 - 17

    def test_that_come_byte_by_byte_take_linear_time(self) -> None:
        def read(line: bytes) -> None:
            assert len(next(lines_of(line[n : n + 1] for n in range(len(line))))) == len(line)

        assert is_linear(read, lambda size: b"x" * size)


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", DELIMITERS)
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    def test_are_recognised_from_the_header(self, delimiter: str, end: str, quoting: Any) -> None:
        file = io.StringIO()
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerows([["username", "email"], ["a,b;c\td", 'say "x"']])
        assert rows_of(file.getvalue().encode()) == [{"username": "a,b;c\td", "email": 'say "x"'}]

    def test_do_not_follow_from_what_cells_hold(self) -> None:
        data = b"email;username;note\n1,5;2,5;3,5\n"
        assert rows_of(data) == [{"email": "1,5", "username": "2,5", "note": "3,5"}]

    def test_are_commas_where_no_name_is_known(self) -> None:
        assert faults_of(b"x,y") == [
            ("/x", "unknown"),
            ("/y", "unknown"),
            ("/email", "required"),
            ("/username", "required"),
        ]


class TestHeader:
    def test_may_have_any_order_and_leave_out_what_is_not_required(self) -> None:
        assert rows_of(b"username,email\nb,a\n") == [{"email": "a", "username": "b"}]

    def test_behind_blank_lines_is_found(self) -> None:
        assert rows_of(b"\n \r\nemail,username\na,b\n") == [{"email": "a", "username": "b"}]

    @pytest.mark.parametrize(
        ("header", "faults"),
        [
            (b"", [("/email", "required"), ("/username", "required")]),
            (b"email", [("/username", "required")]),
            (b"email,username,", [("/", "unknown")]),
            (b"Email,username", [("/Email", "unknown"), ("/email", "required")]),
            (b"email,username, note", [("/ note", "unknown")]),
            (b"email,username,c~d/e", [("/c~0d~1e", "unknown")]),
            (b"email,username,email", [("/email", "duplicate")]),
            (b"email,username,rejected_row,rejected_row", [("/rejected_row", "duplicate")]),
            (b"email,username,id", [("/id", "unknown")]),
            (b"email,user\0name", [("/user\0name", "unknown"), ("/username", "required")]),
        ],
    )
    def test_that_is_wrong_is_refused_with_all_its_faults(
        self, header: bytes, faults: list[tuple[str, str]]
    ) -> None:
        assert faults_of(header) == faults

    def test_names_the_columns_of_which_one_is_required(self) -> None:
        with pytest.raises(InvalidRequest) as caught:
            rows_of(b"note\n")
        assert [fault["detail"] for fault in caught.value.errors] == [
            "The column email or id is required.",
            "The column username is required.",
        ]

    def test_of_very_many_names_is_refused_with_a_hundred_faults(self) -> None:
        faults = faults_of(b"x," * (MAX_LINE // 2 - 1))
        assert faults == [("/x", "unknown")] * 100

    def test_of_many_names_takes_linear_time(self) -> None:
        def read(header: bytes) -> None:
            with pytest.raises(InvalidRequest):
                rows_of(header)

        assert is_linear(read, lambda size: b"x," * size)

    def test_that_is_no_csv_is_refused(self) -> None:
        with pytest.raises(MalformedBody, match=r"^Line 1 of the file: .+\.$"):
            rows_of(b'"email"x,username\n')


class TestCsv:
    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n"])
    def test_without_rows_has_none(self, data: bytes) -> None:
        assert rows_of(b"email,username\n", data) == []

    def test_blank_lines_are_no_rows(self) -> None:
        assert rows_of(b"email,username\n\na,b\n\r\n\nc,d") == [
            {"email": "a", "username": "b"},
            {"email": "c", "username": "d"},
        ]

    def test_an_empty_cell_is_null(self) -> None:
        assert rows_of(b'email,username\n,""\n') == [{"email": None, "username": None}]

    def test_line_ends_and_quotes_within_quotes_stay(self) -> None:
        (row,) = rows_of(b'email,username\n"a\r\nb\rc\nd","""e"",f"\r\n')
        assert row == {"email": "a\r\nb\rc\nd", "username": '"e",f'}

    def test_a_cell_with_nul_is_refused_alone(self) -> None:
        (row,) = rows_of(b"email,username\na\0,b\n")
        assert row["email"] is NOT_TEXT
        assert row["username"] == "b"

    @pytest.mark.parametrize(
        ("line", "code"), [(b"a", "too_short"), (b" ", "too_short"), (b"a,b,", "too_long")]
    )
    def test_a_row_with_another_number_of_cells_is_bad_and_the_next_is_not(
        self, line: bytes, code: str
    ) -> None:
        form, rows = read_rows(
            lines_of([b"email,username\n", line, b"\na,b\n"]), CSV, COLUMNS, REQUIRED
        )
        with pytest.raises(BadRow) as caught:
            form.fields(next(rows))
        assert caught.value.fault["code"] == code
        assert caught.value.fault["pointer"] == ""
        assert [form.fields(row) for row in rows] == [{"email": "a", "username": "b"}]

    def test_why_a_row_was_rejected_is_not_read(self) -> None:
        data = ",".join(("email", *REJECTED, "username")) + "\na,1,2,3,4,b\n"
        assert rows_of(data.encode()) == [{"email": "a", "username": "b"}]

    @pytest.mark.parametrize(
        "data",
        [
            b'email,username\n"a"x,b\n',
            b'email,username\na,"b\n',
            b"email,username\na,b\rc,d\n",
            b"email,username\ra,b\rc,d\r",
        ],
        ids=["behind a quote", "a quote without end", "a lone CR", "lone CRs only"],
    )
    def test_that_breaks_the_rules_of_quotes_and_line_ends_is_refused(self, data: bytes) -> None:
        with pytest.raises(MalformedBody, match=r"^Line [12] of the file: .+\.$"):
            rows_of(data)

    def test_a_quote_without_end_is_noticed_after_1_mib(self) -> None:
        line = b"x" * 99 + b"\n"
        pieces = chain([b'email,username\n"'], repeat(line * 100, 2**20))
        with pytest.raises(MalformedBody, match="a quote is not closed"):
            _, rows = read_rows(lines_of(never_much(pieces)), CSV, COLUMNS, REQUIRED)
            next(rows)

    def test_many_rows_may_be_longer_than_1_mib_together(self) -> None:
        rows = rows_of(b"email,username\n", b'"a\n",b\n' * (MAX_LINE // 4))
        assert len(rows) == MAX_LINE // 4

    def test_a_row_of_1_mib_in_short_lines_is_taken(self) -> None:
        cell = ("x" * 99 + "\n") * (MAX_LINE // 100 - 1)
        (row,) = rows_of(f'email,username\n"{cell}",b\n'.encode())
        assert row["email"] == cell

    def test_a_spreadsheets_quote_is_taken_off_where_export_puts_one(self) -> None:
        form = Form("csv", is_spreadsheet=True)
        for cell in ("=1", "+1", "-1", "@x", "'x", "\tx", "\rx", "'"):
            data = f"email,username\n\"'{cell}\",'b\n".encode()
            assert rows_of(data, form=form) == [{"email": cell, "username": "'b"}]
            assert rows_of(data) == [{"email": f"'{cell}", "username": "'b"}]
        assert rows_of(b"email,username\n',=1\n", form=form) == [{"email": "'", "username": "=1"}]


class TestNdjson:
    def test_each_line_is_an_object(self) -> None:
        data = '{"email": "é", "username": null}\r\n{"x": [1, 2]}'.encode()
        assert rows_of(data, form=NDJSON) == [{"email": "é", "username": None}, {"x": [1, 2]}]

    @pytest.mark.parametrize("data", [b"", b"\n", b" \t\r\n\r\n", b"\xef\xbb\xbf"])
    def test_blank_lines_are_no_rows(self, data: bytes) -> None:
        assert rows_of(data, form=NDJSON) == []

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("{", "invalid_format"),
            ("{} {}", "invalid_format"),
            ("x", "invalid_format"),
            ("\u00a0", "invalid_format"),
            ('{"a": NaN}', "invalid_format"),
            ('{"a": ' + "[" * 70 + "]" * 70 + "}", "invalid_format"),
            ('{"a": [' + "1," * 2000 + "1]}", "invalid_format"),
            ("[]", "wrong_type"),
            ('"x"', "wrong_type"),
            ("1.5", "wrong_type"),
            ("null", "wrong_type"),
        ],
    )
    def test_a_line_that_is_none_is_bad_and_the_next_is_not(self, line: str, code: str) -> None:
        data = (line + '\n{"email": "a"}\n').encode()
        form, rows = read_rows(lines_of([data]), NDJSON, COLUMNS, REQUIRED)
        with pytest.raises(BadRow) as caught:
            form.fields(next(rows))
        assert caught.value.fault["code"] == code
        assert [form.fields(row) for row in rows] == [{"email": "a"}]

    def test_a_name_that_is_given_twice_is_marked(self) -> None:
        assert rows_of(b'{"a": 1, "a": 2}', form=NDJSON) == [{"a": TWICE}]

    def test_why_a_row_was_rejected_is_not_read(self) -> None:
        line = json.dumps({**dict.fromkeys(REJECTED, 1), "email": "a"})
        assert rows_of(line.encode(), form=NDJSON) == [{"email": "a"}]


class TestGzip:
    DATA = b"email,username\n" + b"a,b\n" * 50_000

    @pytest.mark.parametrize("size", [1, 7, 2**14, 2**20])
    def test_is_unpacked_however_it_was_cut(self, size: int) -> None:
        packed = gzip.compress(self.DATA, mtime=0)
        pieces = (packed[n : n + size] for n in range(0, len(packed), size))
        assert b"".join(unzipped(pieces)) == self.DATA

    def test_may_have_several_members(self) -> None:
        members = [gzip.compress(data, mtime=0) for data in (b"a", b"", b"b" * 100_000)]
        assert b"".join(unzipped([b"".join(members)])) == b"a" + b"b" * 100_000
        assert b"".join(unzipped(members)) == b"a" + b"b" * 100_000

    def test_of_many_members_takes_linear_time(self) -> None:
        empty = gzip.compress(b"", mtime=0)

        def read(packed: bytes) -> None:
            assert [*unzipped([packed])] == []

        assert is_linear(read, lambda size: empty * (size // 10))

    @pytest.mark.parametrize("kept", [0, 1, 9, 100, -9, -1])
    def test_that_is_truncated_is_refused(self, kept: int) -> None:
        packed = gzip.compress(bytes(range(256)) * 100, mtime=0)[:kept]
        with pytest.raises(MalformedBody, match=r"^The gzip data are truncated\.$"):
            [*unzipped([packed])]

    def test_that_is_truncated_in_a_later_member_is_refused(self) -> None:
        packed = gzip.compress(b"a", mtime=0)
        with pytest.raises(MalformedBody, match="truncated"):
            [*unzipped([packed, packed[:-1]])]

    @pytest.mark.parametrize("position", [0, 3, 100, -8, -1])
    def test_that_is_damaged_is_refused(self, position: int) -> None:
        packed = bytearray(gzip.compress(self.DATA, mtime=0))
        packed[position] ^= 0xFF
        with pytest.raises(MalformedBody, match=r"^The gzip data are (damaged|truncated)\.$"):
            [*unzipped([bytes(packed)])]

    def test_with_anything_behind_it_is_refused(self) -> None:
        with pytest.raises(MalformedBody, match="damaged"):
            [*unzipped([gzip.compress(b"a", mtime=0) + b"garbage"])]

    def test_a_bomb_comes_in_small_pieces(self) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, records._GZIP)
        zeros = b"0" * 2**20
        bomb = b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush()
        assert len(bomb) < 2**19
        tracemalloc.start()
        size = sum(map(len, unzipped([bomb])))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size == 256 * 2**20
        assert peak < 2**20

    def test_a_bomb_of_one_line_is_refused_at_its_first_mib(self) -> None:
        packed = gzip.compress(b"0" * 64 * 2**20, mtime=0)
        with pytest.raises(MalformedBody, match="longer than 1 MiB"):
            [*lines_of(never_much(unzipped([packed])))]


class TestLimit:
    def test_of_bytes_is_held(self) -> None:
        assert [*counted([b"12", b"3"], 3)] == [b"12", b"3"]
        pieces = counted([b"12", b"34"], 3)
        assert next(pieces) == b"12"
        with pytest.raises(BodyTooLarge):
            next(pieces)


# What files are written of. Surrogates are no text. Empty cells are null.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("\"'\n\r\t,;=+-@\\\ufeff\u05d0\u202e😀 "),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=20,
)
SOME_ROWS = st.lists(st.tuples(TEXTS, TEXTS), max_size=5)


class TestAnyText:
    @given(
        rows=SOME_ROWS,
        delimiter=st.sampled_from(DELIMITERS),
        end=st.sampled_from(["\n", "\r\n"]),
        quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
        mark=st.sampled_from(["", "\ufeff"]),
    )
    def test_written_as_csv_is_read_back(
        self, rows: list[tuple[str, str]], delimiter: str, end: str, quoting: Any, mark: str
    ) -> None:
        file = io.StringIO(newline="")
        if end == "\n":  # Python then leaves a CR unquoted, which is no CSV
            quoting = csv.QUOTE_ALL
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerows([("email", "username"), *rows])
        assert rows_of((mark + file.getvalue()).encode()) == [
            {"email": email, "username": username} for email, username in rows
        ]

    @given(rows=SOME_ROWS, ascii_only=st.booleans())
    def test_written_as_ndjson_is_read_back(
        self, rows: list[tuple[str, str]], ascii_only: bool
    ) -> None:
        found = [{"email": email, "username": username} for email, username in rows]
        lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in found)
        assert rows_of(lines.encode(), form=NDJSON) == found

    @given(data=st.binary(max_size=200), form=st.sampled_from(["csv", "ndjson"]))
    def test_any_bytes_are_rows_or_refused(self, data: bytes, form: Format) -> None:
        for pieces in ([data], [b"email,username\n", data], [gzip.compress(data, mtime=0)]):
            with suppress(MalformedBody, InvalidRequest):
                found, rows = read_rows(lines_of(pieces), Form(form), COLUMNS, REQUIRED)
                for row in rows:
                    with suppress(BadRow):
                        found.fields(row)
