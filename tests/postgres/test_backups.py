"""Backups by PostgreSQL's own programs: whole, or nothing."""

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.config import parse_database_url
from app.models import Base
from app.postgres.backups import BackupError, back_up, environment, find_clients, known_to, restore
from app.postgres.embedded import embedded_postgres, find_binaries
from tests.applications import make_settings
from tests.databases import FAST, describe, execute, server_folder
from tests.programs import find_file, write_program

pytestmark = pytest.mark.slow

SETTINGS = make_settings()
TABLES = [*Base.metadata.tables, "alembic_version"]
# A row of each table. Some text looks like what a script may begin with.
ROWS = (
    """INSERT INTO accounts (id, email, email_key, username, country)
       SELECT md5(n::text)::uuid, n || '@example.com', n || '@example.com',
           E'SET transaction_timeout = 0;\\\\ \\t"\\'', 'JO'
       FROM generate_series(1, 500) AS n""",
    """INSERT INTO items (id, account_id, name, name_words, price, image_link)
       SELECT md5('item' || n)::uuid, md5(n::text)::uuid, E'\\\\restrict \\\\.\\n', 'a', n,
           'https://example.com/'
       FROM generate_series(1, 500) AS n""",
    """INSERT INTO api_keys (id, name, prefix, digest, scope)
       VALUES (md5('k')::uuid, 'operator', 'sk_test', sha256('k'), 'admin')""",
    """INSERT INTO idempotency_keys
           (principal, path, key, fingerprint, expires, status, headers, body)
       VALUES ('key:operator', '/accounts', 'k', decode('00ff', 'hex'), 'infinity', 201,
           '{"etag": "1"}', '{}')""",
    *(
        f"INSERT INTO {link} (account_id, item_id) SELECT account_id, id FROM items"
        for link in ("favorites", "reservations", "wishes")
    ),
)


@pytest.fixture
async def filled(database: URL) -> URL:
    """A database with rows in all tables."""
    await execute(database, *ROWS)
    return database


@pytest.fixture(scope="module")
def older_server() -> Iterator[URL]:
    """A server of the oldest version that Satchel supports."""
    programs = find_file("/usr/lib/postgresql/15/bin/initdb", "postgresql-15").parent
    with server_folder() as home:
        home.chmod(0o711)
        with embedded_postgres(home / "pg", bindir=programs, settings=FAST) as url:
            yield make_url(url)


@pytest.fixture
async def older_database(older_server: URL) -> AsyncIterator[URL]:
    await execute(older_server, "CREATE DATABASE empty")
    yield older_server.set(database="empty")
    await execute(older_server, "DROP DATABASE empty WITH (FORCE)")


# The tests are no coroutines, since these functions run loops of their own.


def rows_of(database: URL) -> dict[str, list[str]]:
    """All rows of all tables, as the server prints them."""
    return {table: ask(database, f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES}


def ask(database: URL, statement: str) -> list[Any]:
    """The first column of the rows of a statement."""

    async def run() -> list[Any]:
        engine = create_async_engine(database, poolclass=NullPool)
        async with engine.connect() as connection:
            return list((await connection.scalars(text(statement))).all())

    return asyncio.run(run())


def schema_of(database: URL) -> Any:
    return asyncio.run(describe(create_async_engine(database, poolclass=NullPool)))


def dump(source: URL, file: Path) -> None:
    with file.open("wb") as opened:
        back_up(source, SETTINGS, opened)


def copy(source: URL, target: URL, file: Path) -> None:
    dump(source, file)
    restore(target, SETTINGS, file)


class TestRoundTrip:
    def test_restores_every_row_and_the_schema(
        self, filled: URL, empty_database: URL, tmp_path: Path
    ) -> None:
        rows = rows_of(filled)
        assert all(rows.values())
        copy(filled, empty_database, tmp_path / "backup")
        assert rows_of(empty_database) == rows
        assert schema_of(empty_database) == schema_of(filled)

    def test_from_the_embedded_server_to_an_older_one_and_back(
        self, filled: URL, older_database: URL, empty_database: URL, tmp_path: Path
    ) -> None:
        rows = rows_of(filled)
        copy(filled, older_database, tmp_path / "there")
        assert rows_of(older_database) == rows
        copy(older_database, empty_database, tmp_path / "back")
        assert rows_of(empty_database) == rows
        assert schema_of(empty_database) == schema_of(filled)

    def test_the_planner_knows_the_restored_tables(
        self, filled: URL, empty_database: URL, tmp_path: Path
    ) -> None:
        copy(filled, empty_database, tmp_path / "backup")
        assert ask(empty_database, "SELECT reltuples FROM pg_class WHERE relname = 'accounts'") == [
            500
        ]


class TestRefusals:
    def test_a_database_without_tables_is_not_backed_up(
        self, empty_database: URL, tmp_path: Path
    ) -> None:
        with pytest.raises(BackupError, match="no tables"):
            dump(empty_database, tmp_path / "backup")

    def test_a_backup_that_pg_dump_cannot_write_is_reported(self, filled: URL) -> None:
        with pytest.raises(BackupError, match="No space left on device"):
            dump(filled, Path("/dev/full"))

    def test_a_database_that_is_not_empty_stays_as_it_is(self, filled: URL, tmp_path: Path) -> None:
        rows = rows_of(filled)
        with pytest.raises(BackupError, match="not empty: it has the table accounts"):
            copy(filled, filled, tmp_path / "backup")
        assert rows_of(filled) == rows

    @pytest.mark.parametrize("part", [0.0, 0.2, 0.5])
    def test_of_a_truncated_backup_nothing_is_restored(
        self, filled: URL, empty_database: URL, tmp_path: Path, part: float
    ) -> None:
        whole = tmp_path / "whole"
        dump(filled, whole)
        truncated = tmp_path / "truncated"
        truncated.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
        with pytest.raises(BackupError, match=r"^pg_restore: error: .*"):
            restore(empty_database, SETTINGS, truncated)
        assert not any((schema_of(empty_database)).values())

    def test_of_a_backup_that_ends_between_two_statements_nothing_is_restored(
        self, empty_database: URL, tmp_path: Path
    ) -> None:
        real = find_binaries(None)
        write_program(tmp_path / "pg_dump", f'exec {real}/pg_dump "$@"')
        write_program(tmp_path / "psql", f'exec {real}/psql "$@"')
        broken = "echo 'CREATE TABLE half (id int PRIMARY KEY);'; echo it is damaged >&2; exit 1"
        write_program(tmp_path / "pg_restore", broken)
        settings = make_settings(pg_bindir=tmp_path)
        with pytest.raises(BackupError, match="it is damaged"):
            restore(empty_database, settings, tmp_path)
        assert not any((schema_of(empty_database)).values())

    def test_an_error_of_the_database_undoes_everything(
        self, filled: URL, empty_database: URL, tmp_path: Path
    ) -> None:
        backup = tmp_path / "backup"
        dump(filled, backup)
        asyncio.run(
            execute(  # fails at what comes late: indexes
                empty_database,
                """CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
               AS $$ BEGIN RAISE 'no more indexes'; END $$""",
                """CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
               EXECUTE FUNCTION refuse()""",
            )
        )
        with pytest.raises(BackupError, match="no more indexes"):
            restore(empty_database, SETTINGS, backup)
        assert not any((schema_of(empty_database)).values())

    def test_a_backup_of_newer_programs_names_the_older_ones(
        self, filled: URL, older_database: URL, tmp_path: Path
    ) -> None:
        older = find_file("/usr/lib/postgresql/15/bin/pg_restore", "postgresql-client-15").parent
        backup = tmp_path / "backup"
        dump(filled, backup)
        settings = make_settings(pg_bindir=older)
        with pytest.raises(BackupError, match=rf"unsupported version .* \({older}\)"):
            restore(older_database, settings, backup)


class TestPrograms:
    def test_of_the_embedded_server_are_found(self) -> None:
        assert find_clients(None, 18) == find_binaries(None)

    def test_older_than_the_server_are_refused(self) -> None:
        with pytest.raises(BackupError, match="PostgreSQL 99 or newer are needed; only those of 1"):
            find_clients(None, 99)

    def test_that_are_missing_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(BackupError, match="none were found"):
            find_clients(tmp_path, 18)


class TestEnvironment:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("postgresql:///satchel", {"PGDATABASE": "satchel"}),
            (
                "postgresql://me:s%40cret@db:5433/satchel?sslmode=require",
                {
                    "PGHOST": "db",
                    "PGPORT": "5433",
                    "PGUSER": "me",
                    "PGPASSWORD": "s@cret",
                    "PGDATABASE": "satchel",
                    "PGSSLMODE": "require",
                },
            ),
            (
                "postgresql:///satchel?host=a:5432&host=b:5433&target_session_attrs=read-write",
                {
                    "PGHOST": "a,b",
                    "PGPORT": "5432,5433",
                    "PGTARGETSESSIONATTRS": "read-write",
                },
            ),
            (
                "postgresql://[::1]/satchel?options=-csearch_path%3Dmine&sslrootcert=system",
                {"PGHOST": "::1", "PGOPTIONS": "-csearch_path=mine", "PGSSLROOTCERT": "system"},
            ),
            ("postgresql:///satchel?prepared_statement_cache_size=0", {"PGDATABASE": "satchel"}),
        ],
    )
    def test_says_what_the_url_says(
        self, monkeypatch: pytest.MonkeyPatch, url: str, expected: dict[str, str]
    ) -> None:
        monkeypatch.setattr("os.environ", {})
        found = environment(parse_database_url(url))
        del found["PGCONNECT_TIMEOUT"], found["LC_ALL"]
        assert expected.items() <= found.items()
        assert found.keys() <= {*expected, "PGDATABASE"}

    def test_holds_the_password_and_no_command_line_does(
        self, filled: URL, empty_database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commands = []

        class Recorded(subprocess.Popen[Any]):
            def __init__(self, command: Any, **options: Any) -> None:
                commands.append((" ".join(map(str, command)), options.get("env") or {}))
                super().__init__(command, **options)

        monkeypatch.setattr(subprocess, "Popen", Recorded)
        source, target = (url.set(password="hunter2") for url in (filled, empty_database))
        copy(source, target, tmp_path / "backup")
        called = [line for line, environment in commands if "PGPASSWORD" in environment]
        assert len(called) == 2
        assert not any("hunter2" in line for line, _ in commands)


class TestScripts:
    def test_lose_settings_that_the_server_does_not_have_before_the_first_statement(self) -> None:
        script = (
            b"--\n-- dump\n\n\\restrict x\nSET lock_timeout = 0;\nSET new_timeout = 0;\n"
            b"SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE a (b text);\n"
            b"SET new_timeout = 0;\nCOPY a FROM stdin;\nSET new_timeout = 0;\n"
        )
        lines = io.BytesIO(script)
        head = b"".join(known_to({"lock_timeout"}, lines))
        assert head + lines.read() == script.replace(b"SET new_timeout = 0;\n", b"", 1)

    def test_lose_the_versions_of_columns_but_no_rows(self) -> None:
        version = b"ALTER TABLE ONLY public.a ALTER COLUMN b SET (pg_attver=26488296);\n"
        other = b"ALTER TABLE ONLY public.a ALTER COLUMN b SET (n_distinct=5);\n"
        script = b"CREATE TABLE a (b text);\n" + version + other
        rows = b"COPY a FROM stdin;\n" + version + b"\\.\n"
        lines = io.BytesIO(script + rows)
        head = b"".join(known_to({}, lines))
        assert head + lines.read() == script.replace(version, b"") + rows

    def test_without_rows_are_taken_to_their_end(self) -> None:
        assert list(known_to({}, io.BytesIO(b"--\n"))) == [b"--\n"]
