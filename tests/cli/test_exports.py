"""`satchel export`: files that are whole or not there, and what it says meanwhile."""

import asyncio
import csv
import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.catalog import Entry, Row, entry_of, every_resource
from tests.cli.test_commands import ROOT, run
from tests.databases import execute
from tests.locks import held_up
from tests.waiting import PATIENCE

TERMINATE = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %'")
pytestmark = pytest.mark.usefixtures("logs_restored", "directory", "named_database")


def fill(database: URL, entry: Entry, rows: int = 3) -> list[Row]:
    async def insert() -> list[Row]:
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.begin() as connection:
            return await entry.insert(connection, [{}] * rows)

    return asyncio.run(insert())


def ids_of(text: bytes) -> list[str]:
    return [json.loads(line)["id"] for line in text.splitlines()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@every_resource
class TestOfEachResource:
    def test_writes_all_rows_to_a_file(self, database: URL, entry: Entry, tmp_path: Path) -> None:
        rows = fill(database, entry)
        name = entry.resource.table.name
        result = run("export", name, "rows.ndjson")
        assert result.exit_code == 0, result.output
        text = (tmp_path / "rows.ndjson").read_bytes()
        assert sorted(ids_of(text)) == sorted(row["id"] for row in rows)
        assert f"Exporting {name}: 3 rows in " in result.stderr
        assert left_in(tmp_path) == ["rows.ndjson"]
        # It may hold personal data.
        assert (tmp_path / "rows.ndjson").stat().st_mode & 0o777 == 0o600

    def test_writes_csv(self, database: URL, entry: Entry, tmp_path: Path) -> None:
        rows = fill(database, entry)
        assert run("export", entry.resource.table.name, "rows.csv.gz").exit_code == 0
        text = gzip.decompress((tmp_path / "rows.csv.gz").read_bytes()).decode()
        found = list(csv.DictReader(io.StringIO(text, newline="")))
        assert {row["id"] for row in found} == {row["id"] for row in rows}

    def test_writes_to_standard_output(self, database: URL, entry: Entry) -> None:
        rows = fill(database, entry)
        name = entry.resource.table.name
        in_order = [row["id"] for row in rows]
        result = run("export", name, "-", "--query", "sort=created")
        assert ids_of(result.stdout_bytes) == sorted(in_order)
        packed = run("export", name, "-", "--query", "sort=-created", "--gzip").stdout_bytes
        assert ids_of(gzip.decompress(packed)) == sorted(in_order, reverse=True)


class TestOptions:
    def test_a_query_filters(self, database: URL) -> None:
        rows = fill(database, entry_of("/accounts"))
        name = rows[1]["username"].replace(" ", "%20")
        result = run("export", "accounts", "-", "--query", f"username={name}&sort=email")
        assert ids_of(result.stdout_bytes) == [rows[1]["id"]]

    def test_a_query_may_hold_any_letters(self, database: URL) -> None:
        entry = entry_of("/accounts")
        fill(database, entry)
        first = "(SELECT min(email) FROM accounts)"
        update = f"UPDATE accounts SET username = 'Zoë 1' WHERE email = {first}"
        asyncio.run(execute(database, update))
        result = run("export", "accounts", "-", "--query", "username=Zoë 1")
        assert len(ids_of(result.stdout_bytes)) == 1

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("limit=1", ["limit: No such parameter."]),
            ("format=csv", ["format: No such parameter."]),
            ("sort=x&dob_gte=1", ["sort: Must be", "dob_gte: Must be"]),
            ("email=a&email=b", ["email: Given more than once."]),
            ("email=\udcff", ["email: Holds a NUL or is not UTF-8."]),
        ],
    )
    def test_a_bad_query_is_refused_before_anything_is_written(
        self, query: str, names: list[str], tmp_path: Path
    ) -> None:
        result = run("export", "accounts", "rows", "--query", query)
        assert result.exit_code == 2
        said = " ".join(result.stderr.replace("│", " ").split())
        assert all(name in said for name in names)
        assert left_in(tmp_path) == []

    def test_for_spreadsheets_it_is_csv(self, database: URL) -> None:
        fill(database, entry_of("/accounts"))
        text = run("export", "accounts", "-", "--spreadsheet").stdout_bytes
        assert text.startswith(b"\xef\xbb\xbfid,")
        refused = run("export", "accounts", "-", "--spreadsheet", "--format", "ndjson")
        assert refused.exit_code == 2
        assert "Only CSV is for spreadsheets" in refused.stderr

    def test_the_format_wins_over_the_name(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MIGRATE_ON_START", "false")  # as in production
        fill(database, entry_of("/accounts"))
        assert run("export", "accounts", "rows.csv", "--format", "ndjson").exit_code == 0
        assert Path("rows.csv").read_bytes().startswith(b'{"id"')


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may be larger than 64 KiB, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFailures:
    @pytest.mark.usefixtures("small_files")
    @pytest.mark.parametrize("before", [None, b"as it was"])
    def test_of_the_disk_leave_what_was_there(
        self, database: URL, tmp_path: Path, before: bytes | None
    ) -> None:
        fill(database, entry_of("/accounts"), 500)
        file = tmp_path / "rows"
        if before is not None:
            file.write_bytes(before)
        result = run("export", "accounts", "rows")
        assert result.exit_code == 1
        assert "The output cannot be written:\n  rows: File too large." in result.stderr
        assert left_in(tmp_path) == ([] if before is None else ["rows"])
        assert before is None or file.read_bytes() == before

    def test_of_the_folder_are_said(self) -> None:
        result = run("export", "accounts", "nowhere/rows")
        assert result.exit_code == 1
        assert "nowhere/rows: No such file or directory." in result.stderr

    def test_what_is_no_file_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        for name in ("folder", "/dev/null"):
            result = run("export", "accounts", name)
            assert result.exit_code == 1
            assert f"{name} is not a file." in result.stderr
        assert Path("/dev/null").is_char_device()

    def test_a_link_stays_one(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("rows")
        assert run("export", "accounts", "link").exit_code == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "rows").read_bytes() == b""

    def test_of_the_database_leave_no_file(self, database: URL, tmp_path: Path) -> None:
        asyncio.run(execute(database, "ALTER TABLE accounts RENAME COLUMN dob TO born"))
        result = run("export", "accounts", "rows")
        assert result.exit_code == 1
        assert "The database cannot be used" in result.stderr
        assert "dob" in result.stderr
        assert left_in(tmp_path) == []


# Programs in the background ignore SIGINT.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from app.cli.commands import main; main()"
)


def start(*arguments: str, stdout: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "export", "accounts", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def said_at_its_end(process: subprocess.Popen[bytes]) -> str:
    """What a process that fails has written to standard error."""
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    return said.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("measured")
class TestProcesses:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_leaves_nothing_half_written(
        self, database: URL, tmp_path: Path, number: signal.Signals
    ) -> None:
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE accounts"))
            process = start("rows")
            await held_up(database)
            assert len(left_in(tmp_path)) == 1
            process.send_signal(number)
            said = await asyncio.to_thread(said_at_its_end, process)
        assert said.startswith("Stopped:\n")
        assert left_in(tmp_path) == []

    async def test_a_lost_database_leaves_nothing_half_written(
        self, database: URL, tmp_path: Path
    ) -> None:
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE accounts"))
            process = start("rows")
            await held_up(database)
            await connection.execute(TERMINATE)
            said = await asyncio.to_thread(said_at_its_end, process)
        assert said.startswith("The database cannot be used")
        assert "Traceback" not in said
        assert left_in(tmp_path) == []

    def test_a_reader_that_has_enough_is_no_error(self, database: URL) -> None:
        fill(database, entry_of("/accounts"), 5000)  # more than a pipe holds
        process = start("-", stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        process.stdout = None
        assert said_at_its_end(process) == ""

    def test_a_full_disk_behind_standard_output_is_said(self, database: URL) -> None:
        fill(database, entry_of("/accounts"))
        with Path("/dev/full").open("wb") as full:
            said = said_at_its_end(start("-", stdout=full))
        expected = "Standard output: No space left on device."
        assert said == f"The output cannot be written:\n  {expected}\n"
