"""The command `satchel import`: whole batches, whatever happens, and where to go on."""

import asyncio
import gzip
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner, Result

from app.api.imports.records import Source
from app.cli import commands, row_batches
from app.resources.fields import EXAMPLE_ID
from tests.cli.test_commands import ROOT, ask, count_accounts
from tests.databases import execute
from tests.locks import held_up
from tests.refusals import AT_COMMIT, AT_ONCE, COUNT, refusals
from tests.servers import free_port
from tests.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.usefixtures("logs_restored", "directory"),
    # Of the test's process, which may have threads; the command has none when it forks.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
HEADER = "email,username\n"
TITLE = "The file cannot be imported:"


def lines(first: int, last: int) -> str:
    """Rows of CSV."""
    return "".join(f"p{n}@example.com,p{n}\n" for n in range(first, last + 1))


def write(data: str | bytes, name: str = "accounts.csv") -> str:
    Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def run(*arguments: str, resource: str = "accounts", given: bytes | None = None) -> Result:
    return CliRunner().invoke(commands.app, ["import", resource, *arguments], input=given)


def usernames(database: URL) -> list[str]:
    query = "SELECT coalesce(array_agg(username ORDER BY created, id), '{}') FROM accounts"
    found: list[str] = asyncio.run(ask(database, query))
    return found


def people(first: int, last: int) -> list[str]:
    return [f"p{n}" for n in range(first, last + 1)]


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, with a pipe as its standard input."""
    # Programs in the background ignore SIGINT.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from app.cli.commands import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "import", "accounts", "-", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[bytes], data: str) -> None:
    assert process.stdin is not None
    process.stdin.write(data.encode())
    process.stdin.flush()


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    # Without `ps` itself, where it is asked for a process that is its parent.
    return [int(line) for line in found.stdout.split()]


def is_running(pid: int) -> bool:
    """Not of one that has ended and that nobody has asked after."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestFiles:
    ROWS = json.dumps({"email": "a@example.com", "username": "a"}).encode() + b"\n"
    TABLE = b"username;email\r\na;a@example.com\r\n"

    @pytest.mark.parametrize("data", [ROWS, TABLE], ids=["ndjson", "csv"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n \n"], ids=["", "bom", "blank"])
    @pytest.mark.parametrize("is_piped", [False, True], ids=["file", "stdin"])
    def test_are_recognised_by_what_they_hold(
        self, named_database: URL, data: bytes, pack: Any, mark: bytes, is_piped: bool
    ) -> None:
        packed = pack(mark + data)
        result = run("-", given=packed) if is_piped else run(write(packed, "x"))
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "1 rows: 1 created, 0 updated, 0 skipped, 0 rejected.\n"
        assert usernames(named_database) == ["a"]

    @pytest.mark.parametrize("data", [ROWS, TABLE, gzip.compress(ROWS, mtime=0)])
    def test_may_come_byte_by_byte(self, named_database: URL, data: bytes) -> None:
        os.mkfifo("pipe")

        def feed() -> None:
            with Path("pipe").open("wb", buffering=0) as pipe:
                pipe.writelines(data[n : n + 1] for n in range(len(data)))

        feeding = threading.Thread(target=feed)
        feeding.start()
        result = run("pipe")
        feeding.join()
        assert result.exit_code == 0, result.output
        assert usernames(named_database) == ["a"]

    @pytest.mark.usefixtures("named_database")
    @pytest.mark.parametrize("name", ["x.ndjson", "x.jsonl", "x.ndjson.gz"])
    def test_are_recognised_by_their_names_too(self, name: str) -> None:
        data = b"no object\n" + self.ROWS
        result = run(write(gzip.compress(data, mtime=0) if name.endswith("gz") else data, name))
        assert result.exit_code == 1
        assert "row 1: invalid_format: Must be one JSON object on a line." in result.stderr

    @pytest.mark.usefixtures("named_database")
    @pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
    def test_without_rows_have_none(self, data: bytes) -> None:
        for result in (run(write(data, "x.ndjson")), run("-", given=data)):
            assert result.exit_code == 0, result.output
            assert result.stdout.startswith("0 rows: ")
        result = run(write(data, "x.csv"))
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            TITLE,
            "  /email: The column email is required.",
            "  /username: The column username is required.",
        ]
        assert run(write(HEADER)).stdout.startswith("0 rows: ")

    @pytest.mark.usefixtures("named_database")
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ("email,username\nä,b\n".encode("latin-1"), "The file is not UTF-8."),
            ("email,username\n".encode("utf-16"), "The file is not UTF-8."),
            (gzip.compress(TABLE * 99, mtime=0)[:-9], "The gzip data are truncated."),
            (b"email,username\n" + b"x" * 2**21, "A line is longer than 1 MiB."),
            (b"email,username,x\n", "/x: No such column."),
            (b'email,username\n"a"b,c\n', "Line 2 of the file: "),
        ],
    )
    def test_that_cannot_be_read_are_refused(self, data: bytes, reason: str) -> None:
        result = run(write(data))
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{TITLE}\n  {reason}" in result.stderr

    @pytest.mark.usefixtures("named_database")
    def test_that_fail_to_be_read_are_reported(self) -> None:
        result = run("/proc/self/mem")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [TITLE, "  /proc/self/mem: Input/output error."]

    def test_that_are_not_there_are_named(self) -> None:
        result = run("nowhere.csv")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [TITLE, "  nowhere.csv: No such file or directory."]
        Path("folder").mkdir()
        assert run("folder").exit_code == 2

    @pytest.mark.parametrize(
        ("arguments", "option"),
        [
            ("--on-conflict replace", "--on-conflict"),
            ("--on-error stop", "--on-error"),
            ("--batch 0", "--batch"),
            ("--batch 100001", "--batch"),
            ("--from-row 0", "--from-row"),
        ],
    )
    def test_are_not_read_with_a_wrong_option(self, arguments: str, option: str) -> None:
        result = run("-", *arguments.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert option in result.stderr


class TestRows:
    def test_of_items_are_imported_too(self, named_database: URL) -> None:
        run(write(HEADER + lines(1, 1)))
        items = "account_email,name,image_link\nP1@example.com,Lamp,https://a.example/x.jpg\n"
        result = run(write(items, "items.csv"), resource="items")
        assert result.exit_code == 0, result.output
        assert asyncio.run(ask(named_database, "SELECT name FROM items")) == "Lamp"

    def test_are_numbered_from_1(self, named_database: URL) -> None:
        data = HEADER + lines(1, 2) + "p3@,p3\n\nx\n" + lines(1, 1)
        result = run(write(data), "--on-error", "skip")
        assert result.exit_code == 0
        assert result.stderr.splitlines() == [
            "row 3: /email invalid_format: Must be a valid email address.",
            "row 4: too_short: Must have a cell for each column.",
            "row 5: /email not_unique: The file has this value before.",
        ]
        assert result.stdout == "5 rows: 2 created, 0 updated, 0 skipped, 3 rejected.\n"
        assert usernames(named_database) == people(1, 2)

    def test_that_are_bad_are_shown_up_to_ten(self, named_database: URL) -> None:
        result = run(write(HEADER + "x,y\n" * 30), "--on-error", "skip", "--batch", "7")
        *shown, last = result.stderr.splitlines()
        assert [line.split(":")[0] for line in shown] == [f"row {n}" for n in range(1, 11)]
        assert last == "These are the first faults of 30 bad rows."
        assert result.stdout.startswith("30 rows: ")
        assert usernames(named_database) == []

    def test_that_are_there_are_skipped_or_updated(self, named_database: URL) -> None:
        run(write(HEADER + lines(1, 2)))
        file = write(HEADER + "P1@example.com,new\n" + lines(2, 3))
        result = run(file)
        assert (result.exit_code, usernames(named_database)) == (1, people(1, 2))
        result = run(file, "--on-conflict", "update")
        assert result.stdout == "3 rows: 1 created, 1 updated, 1 skipped, 0 rejected.\n"
        assert usernames(named_database) == ["new", "p2", "p3"]
        result = run(file, "--on-conflict", "skip")
        assert result.stdout == "3 rows: 0 created, 0 updated, 3 skipped, 0 rejected.\n"

    def test_keep_their_ids_where_asked(self, named_database: URL) -> None:
        given = uuid4()
        head = "id,email,username,created\n"
        file = write(f"{head}{given},a@example.com,a,2022-05-17 10:00:00+00\n")
        assert run(file, "--keep-ids").exit_code == 0
        query = "SELECT id || ' ' || extract(year FROM created) FROM accounts"
        assert asyncio.run(ask(named_database, query)) == f"{given} 2022"

    def test_lose_the_quote_of_a_spreadsheet_where_asked(self, named_database: URL) -> None:
        file = write(HEADER + "a@example.com,'=1\n")
        assert run(file, "--spreadsheet").exit_code == 0
        assert usernames(named_database) == ["=1"]


class TestBatches:
    @pytest.mark.parametrize("size", ["1", "3", "7", "100"])
    def test_are_stored_in_the_order_of_the_file(self, named_database: URL, size: str) -> None:
        result = run(write(HEADER + lines(1, 20)), "--batch", size)
        assert result.stdout == "20 rows: 20 created, 0 updated, 0 skipped, 0 rejected.\n"
        assert usernames(named_database) == people(1, 20)

    @pytest.mark.parametrize("bad", ["x,y\n", "P1@example.com,p\n"], ids=["alone", "with others"])
    def test_before_a_bad_row_are_stored_and_the_rest_is_not(
        self, named_database: URL, bad: str
    ) -> None:
        file = write(HEADER + lines(1, 5) + bad + lines(7, 9))
        result = run(file, "--batch", "2")
        assert result.exit_code == 1
        assert result.stdout == "6 rows: 4 created, 0 updated, 0 skipped, 1 rejected.\n"
        fault, advice = result.stderr.splitlines()
        assert fault.startswith("row 6: /email ")
        assert advice == (
            "Bad rows: 1. Correct them, or leave them out with --on-error skip."
            " Rows 1 to 4 are stored. Go on with --from-row 5."
        )
        assert usernames(named_database) == people(1, 4)

        Path(file).write_text(Path(file).read_text().replace(bad, lines(6, 6)))
        result = run(file, "--batch", "2", "--from-row", "5")
        assert result.stdout == "5 rows: 5 created, 0 updated, 0 skipped, 0 rejected.\n"
        assert usernames(named_database) == people(1, 9)

    def test_in_which_the_first_is_bad_are_not_stored(self, named_database: URL) -> None:
        result = run(write(HEADER + lines(1, 3) + "x,y\n"))
        assert result.exit_code == 1
        assert result.stderr.endswith("with --on-error skip. Nothing was stored.\n")
        assert usernames(named_database) == []

    def test_end_where_the_file_cannot_be_read_further(self, named_database: URL) -> None:
        result = run(write(HEADER + lines(1, 99) + '"x"y\n'), "--batch", "2")
        assert result.exit_code == 1
        where, title, reason = result.stderr.splitlines()
        assert title == TITLE
        assert reason.startswith("  Line 101 of the file: ")
        stored = len(usernames(named_database))
        assert stored % 2 == 0 < stored
        assert where == f"Rows 1 to {stored} are stored. Go on with --from-row {stored + 1}."

    def test_that_are_stored_without_their_bad_rows_are_so_called(
        self, named_database: URL
    ) -> None:
        file = write(HEADER + "x,y\n" + lines(2, 99) + '"x"y\n')
        where = run(file, "--on-error", "skip", "--batch", "2").stderr.splitlines()[0]
        row = int(where.rpartition(" ")[2].rstrip("."))
        rows = f"Rows 1 to {row - 1} are stored, but for rejected ones."
        assert where == f"{rows} Go on with --from-row {row}."
        assert usernames(named_database) == people(2, row - 1)

    def test_have_fewer_rows_where_these_are_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(row_batches, "_MAX_BATCH", 1000)
        for source in ("x" * 400, ["x" * 100, "x" * 300], [""] * 400):
            batches = [*row_batches.batches_of(iter([source] * 7), 5, 1)]
            assert [(each.first, each.size) for each in batches] == [(1, 3), (4, 3), (7, 1)]

    @pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 15, 100])
    def test_have_all_rows_in_order(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(row_batches, "_PART", 5)
        rows: list[Source] = [[str(n), "\ud800"] if n % 2 else str(n) for n in range(15)]
        batches = [*row_batches.batches_of(iter(rows), size, 4)]
        assert all(each.size == size for each in batches[:-1])
        assert [row for each in batches for row in each.rows()] == [*enumerate(rows, 1)][3:]

    def test_of_a_huge_row_number_are_none(self, named_database: URL) -> None:
        result = run(write(HEADER + lines(1, 3)), "--from-row", "9" * 15)
        assert (result.exit_code, usernames(named_database)) == (0, [])
        assert result.stdout.startswith("0 rows: ")


class TestValidateOnly:
    def test_stores_nothing(self, named_database: URL) -> None:
        result = run(write(HEADER + lines(1, 9)), "--validate-only", "--batch", "2")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            "Nothing was stored. 9 rows: 9 created, 0 updated, 0 skipped, 0 rejected.\n"
        )
        assert usernames(named_database) == []

    @pytest.mark.parametrize("arguments", [(), ("--on-error", "skip")])
    def test_finds_bad_rows_of_all_batches(
        self, named_database: URL, arguments: tuple[str, ...]
    ) -> None:
        data = HEADER + "x,y\n" + lines(1, 5) + "P1@example.com,p\n" + lines(6, 8) + "y,z\n"
        result = run(write(data), "--validate-only", "--batch", "2", *arguments)
        assert result.exit_code == (0 if arguments else 1)
        assert [line.split()[:3] for line in result.stderr.splitlines()] == [
            ["row", "1:", "/email"],
            ["row", "7:", "/email"],
            ["row", "11:", "/email"],
        ]
        assert result.stdout == (
            "Nothing was stored. 11 rows: 8 created, 0 updated, 0 skipped, 3 rejected.\n"
        )
        assert usernames(named_database) == []


class TestRejected:
    FILE = "rejected.csv"

    def test_corrected_are_imported(self, named_database: URL) -> None:
        data = HEADER + lines(1, 3) + "p4@,p4\n" + lines(5, 6) + 'p7@,"p\n7"\n'
        result = run(write(data), "--on-error", "skip", "--rejected", self.FILE, "--batch", "2")
        assert result.exit_code == 0
        written = Path(self.FILE).read_text()
        assert [line[:2] for line in written.splitlines()[1:3]] == ["4,", "7,"]
        corrected = written.replace("@,", "@example.com,").replace('"p\n7"', "p7")
        result = run(write(corrected, "corrected.csv"))
        assert result.stdout.startswith("2 rows: 2 created")
        assert sorted(usernames(named_database)) == people(1, 7)

    def test_of_ndjson_corrected_are_imported(self, named_database: URL) -> None:
        rows = [
            {"email": f"p{n}@{'' if n == 2 else 'b.example'}", "username": f"p{n}"} for n in (1, 2)
        ]
        data = "".join(json.dumps(row) + "\n" for row in rows)
        run(write(data, "x"), "--on-error", "skip", "--rejected", "rejected")
        corrected = Path("rejected").read_text().replace("p2@", "p2@b.example")
        assert run(write(corrected, "corrected")).exit_code == 0
        assert usernames(named_database) == people(1, 2)

    @pytest.mark.usefixtures("named_database")
    def test_make_no_file_where_there_are_none(self) -> None:
        assert run(write(HEADER + lines(1, 3)), "--rejected", self.FILE).exit_code == 0
        assert not Path(self.FILE).exists()

    def test_never_replace_the_file_that_is_imported(self, named_database: URL) -> None:
        file = write(HEADER + lines(1, 2) + "x,y\n")
        before = Path(file).read_text()
        result = run(file, "--on-error", "skip", "--rejected", file)
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "The output cannot be written:",
            f"  {file}: It is there already. Choose another name.",
        ]
        assert Path(file).read_text() == before
        assert usernames(named_database) == []

    @pytest.mark.parametrize("place", ["/dev/full", "nowhere/rejected.csv"])
    def test_that_cannot_be_written_keep_their_batch_from_being_stored(
        self, named_database: URL, place: str
    ) -> None:
        data = HEADER + lines(1, 3) + "x,y\n" + lines(5, 9)
        result = run(write(data), "--on-error", "skip", "--rejected", place, "--batch", "2")
        assert (result.exit_code, result.stdout) == (1, "")
        where, title, reason = result.stderr.splitlines()
        assert where == "Rows 1 to 2 are stored. Go on with --from-row 3."
        assert title == "The output cannot be written:"
        assert reason.startswith(f"  {place}: No s")
        assert usernames(named_database) == people(1, 2)


class TestDatabase:
    def test_that_is_lost_leaves_whole_batches(self, named_database: URL) -> None:
        asyncio.run(
            execute(
                named_database,
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF NEW.username = 'p6' THEN PERFORM pg_terminate_backend(pg_backend_pid());"
                " END IF; RETURN NEW; END $$",
                "CREATE TRIGGER die BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION die()",
            )
        )
        file = write(HEADER + lines(1, 9))
        result = run(file, "--batch", "2")
        assert (result.exit_code, result.stdout) == (1, "")
        where, title, _ = result.stderr.splitlines()
        assert where == "Rows 1 to 4 are stored. Go on with --from-row 5."
        assert title == "The database cannot be used (run `satchel check` for details):"
        assert usernames(named_database) == people(1, 4)

        asyncio.run(execute(named_database, "DROP TRIGGER die ON accounts"))
        assert run(file, "--from-row", "5").exit_code == 0
        assert usernames(named_database) == people(1, 9)

    def test_that_is_not_there_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONFIG_MODE", "development")
        monkeypatch.setenv("DEVELOPMENT_DATABASE_URL", f"postgresql://127.0.0.1:{free_port()}/d")
        result = run(write(HEADER + lines(1, 3)))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "Connect call failed" in result.stderr.splitlines()[-1]

    def test_is_migrated_where_the_mode_says_so(
        self, named_database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        empty = "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"
        asyncio.run(execute(named_database, *empty))
        file = write(HEADER + lines(1, 3))
        monkeypatch.setenv("MIGRATE_ON_START", "false")
        assert run(file).exit_code == 1
        monkeypatch.setenv("MIGRATE_ON_START", "true")
        assert run(file).exit_code == 0
        assert usernames(named_database) == people(1, 3)


class TestOthers:
    """Who write at the same time, so that the database refuses a batch."""

    @pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
    def test_let_it_run_again(self, named_database: URL, timing: str) -> None:
        bad = "no email,bad\n"
        asyncio.run(execute(named_database, *refusals("accounts", 3, timing=timing)))
        result = run(
            write(HEADER + lines(1, 2) + bad + lines(3, 4)),
            *("--batch", "3", "--on-error", "skip", "--rejected", "rejected.csv"),
        )
        assert result.exit_code == 0, result.output
        assert usernames(named_database) == people(1, 4)
        assert result.stdout == "5 rows: 4 created, 0 updated, 0 skipped, 1 rejected.\n"
        assert len(Path("rejected.csv").read_text().splitlines()) == 2

    def test_end_it_at_the_fourth_refusal(self, named_database: URL) -> None:
        asyncio.run(execute(named_database, *refusals("accounts", 4)))
        result = run(write(HEADER + lines(1, 1)))
        assert result.exit_code == 1
        assert "Nothing was stored." in result.stderr
        assert asyncio.run(ask(named_database, COUNT)) == 4

    @pytest.mark.parametrize(("stored", "told"), [(0, ""), (2, "Rows 1 to 2 are stored. ")])
    def test_may_leave_it_unknown_what_is_stored(
        self, named_database: URL, stored: int, told: str
    ) -> None:
        """As where a connection is lost at a commit, or no standby confirms it."""
        asyncio.run(
            execute(
                named_database,
                "CREATE FUNCTION doubt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'no' USING ERRCODE = '40003'; END $$",
                "CREATE CONSTRAINT TRIGGER doubt AFTER INSERT ON accounts DEFERRABLE INITIALLY"
                f" DEFERRED FOR EACH ROW WHEN (NEW.username = 'p{stored + 1}')"
                " EXECUTE FUNCTION doubt()",
            )
        )
        result = run(write(HEADER + lines(1, 6)), "--batch", "2")
        assert result.exit_code == 1
        first, after = stored + 1, stored + 3
        maybe = f"Rows {first} to {after - 1} may be stored: look for them. If they are, go on with"
        where = f"{told}{maybe} --from-row {after}, otherwise with --from-row {first}."
        assert where in result.stderr.splitlines()

    def test_do_not_end_a_validation(self, named_database: URL) -> None:
        """It has one transaction for all batches, which is no stricter than it needs."""
        name = f'"{named_database.database}"'
        level = "current_setting('transaction_isolation')"
        asyncio.run(
            execute(
                named_database,
                f"ALTER DATABASE {name} SET default_transaction_isolation = serializable",
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF {level} <> 'read committed' THEN RAISE serialization_failure; END IF;"
                " RETURN NEW; END $$",
                "CREATE TRIGGER refuse BEFORE INSERT ON accounts"
                " FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
        )
        file = write(HEADER + lines(1, 3))
        result = run(file, "--validate-only", "--batch", "1")
        assert result.exit_code == 0, result.output
        assert run(file).exit_code == 1


@pytest.mark.slow
class TestCtrlC:
    def test_leaves_whole_batches_and_says_where_to_go_on(self, named_database: URL) -> None:
        data = HEADER + lines(1, 100)
        with started("--batch", "3") as process:
            send(process, data)
            wait_until(lambda: asyncio.run(count_accounts(named_database)) > 3)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode > 0
        assert (out, b"Traceback" in err) == (b"", False)
        stored = usernames(named_database)
        assert stored == people(1, len(stored))
        assert len(stored) % 3 == 0
        row = len(stored) + 1
        assert f"Rows 1 to {row - 1} are stored. Go on with --from-row {row}.\n" in err.decode()

        assert run(write(data), "--from-row", str(row)).exit_code == 0
        assert usernames(named_database) == people(1, 100)

    def interrupted(self, database: URL, lock: str, *, waits: bool) -> str:
        """What the command says when Ctrl-C comes while it waits for a lock in the database.

        waits: whether it goes on waiting until the lock is released.
        """

        async def hold(process: subprocess.Popen[bytes]) -> None:
            engine = create_async_engine(database, poolclass=NullPool)
            async with engine.connect() as connection:
                await connection.execute(text(lock))
                await asyncio.to_thread(send, process, HEADER + lines(1, 3))
                assert process.stdin is not None
                process.stdin.close()
                await held_up(database)
                process.send_signal(signal.SIGINT)
                if waits:
                    await asyncio.sleep(0.5)  # in which it would leave if it did not wait
                    await connection.rollback()
                await asyncio.to_thread(process.wait, PATIENCE)

        with started() as process:
            asyncio.run(hold(process))
            assert process.stderr is not None
            err = process.stderr.read().decode()
        assert process.returncode > 0
        assert "Traceback" not in err
        return err

    @pytest.fixture
    def without_migration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It waits for the same locks."""
        monkeypatch.setenv("MIGRATE_ON_START", "false")

    @pytest.mark.usefixtures("without_migration")
    def test_while_a_batch_is_written_leaves_none_of_it(self, named_database: URL) -> None:
        lock = "LOCK TABLE accounts IN EXCLUSIVE MODE"
        assert "Nothing was stored.\n" in self.interrupted(named_database, lock, waits=False)
        assert usernames(named_database) == []

    @pytest.mark.usefixtures("without_migration")
    def test_while_a_batch_is_committed_waits_and_counts_it(self, named_database: URL) -> None:
        asyncio.run(
            execute(
                named_database,
                "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$",
                "CREATE CONSTRAINT TRIGGER pause AFTER INSERT ON accounts"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pause()",
            )
        )
        err = self.interrupted(named_database, "SELECT pg_advisory_xact_lock(1)", waits=True)
        assert "Rows 1 to 3 are stored. Go on with --from-row 4.\n" in err
        assert usernames(named_database) == people(1, 3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestProcesses:
    def test_that_are_killed_end_the_import(self, named_database: URL) -> None:
        with started("--batch", "1") as process:
            send(process, HEADER + lines(1, 9))
            wait_until(lambda: asyncio.run(count_accounts(named_database)) > 0)
            os.kill(children(process.pid)[0], signal.SIGKILL)
            wait_until(lambda: children(process.pid) == [])
            send(process, lines(10, 30))
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert (out, b"Traceback" in err) == (b"", False)
        where, title, _ = err.decode().splitlines()
        stored = len(usernames(named_database))
        assert where == f"Rows 1 to {stored} are stored. Go on with --from-row {stored + 1}."
        assert title == "The import stopped:"

    def test_end_with_the_one_that_started_them(self, named_database: URL) -> None:
        with started("--batch", "1") as process:
            send(process, HEADER + lines(1, 9))
            wait_until(lambda: asyncio.run(count_accounts(named_database)) > 0)
            checking = children(process.pid)
            assert len(checking) == os.cpu_count()
            process.kill()
            wait_until(lambda: not any(map(is_running, checking)))

    def test_begin_without_ctrl_c_and_with_an_eye_on_their_parent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the tests above show; here their coverage is measured."""
        ended: list[tuple[int, int]] = []
        parent = SimpleNamespace(join=lambda: None)
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
        monkeypatch.setattr(os, "kill", lambda *given: ended.append(given))
        before = signal.getsignal(signal.SIGINT)
        try:
            row_batches._start_worker()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)
        wait_until(lambda: ended == [(os.getpid(), signal.SIGTERM)])


def test_an_id_in_the_file_alone_is_no_new_id(named_database: URL) -> None:
    run(write(f"id,email,username\n{EXAMPLE_ID},a@example.com,a\n"))
    assert str(asyncio.run(ask(named_database, "SELECT id FROM accounts"))) != EXAMPLE_ID
