"""The command `satchel`, run in this process where no server is needed."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner, Result

from app.auth.key_format import is_well_formed, prefix_of
from app.cli import commands as cli
from app.config import Settings
from tests.databases import execute
from tests.programs import write_program
from tests.servers import free_port, server_environment
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.usefixtures("logs_restored", "directory")
ROOT = Path(__file__).parents[2]
VISIBLE = (
    "serve",
    "migrate",
    "check",
    "sweep",
    "export",
    "backup",
    "restore",
    "demo",
    "import",
    "openapi",
)
COMMANDS = (*VISIBLE, "revision")
ARGUMENTS = {
    "export": ["accounts", "-"],
    "revision": ["message"],
    "backup": ["file"],
    "restore": [__file__],
    "import": ["accounts", __file__],
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli.commands", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


async def ask(database: URL, question: str) -> Any:
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.scalar(text(question))


async def count_accounts(database: URL) -> int:
    return int(await ask(database, "SELECT count(*) FROM accounts"))


def old_account(number: int) -> str:
    """Inserts an account as a build did that folded the domain of an email too."""
    email, key = f"Ada{number}@faß.example", f"ada{number}@fass.example"
    return f"""
        INSERT INTO accounts (id, email, email_key, username)
        VALUES ('{UUID(int=number)}', '{email}', '{key}', 'ada')"""


class TestHelp:
    def test_lists_the_commands_and_not_the_hidden_one(self) -> None:
        result = run("--help")
        assert result.exit_code == 0
        for command in (*VISIBLE, "keys"):
            assert command in result.stdout
        assert "Write a migration" not in result.stdout

    def test_without_a_command_is_the_help(self) -> None:
        assert "serve" in run().output

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_each_command(self, command: str) -> None:
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout

    def test_the_installed_command_goes_by_its_name(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["anything", "--help"])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 0
        assert "Usage: satchel " in capsys.readouterr().out


class TestWrongSettings:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_are_refused_in_two_lines(self, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
        monkeypatch.setenv("CONFIG_MODE", "production")
        result = run(command, *ARGUMENTS.get(command, []))
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            "The settings are wrong:",
            "  PRODUCTION_DATABASE_URL (or DATABASE_URL) must name the database",
        ]

    def test_are_refused_a_line_for_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POOL_SIZE", "many")
        lines = run("serve", "--port", "70000").stderr.splitlines()
        assert [line.partition(":")[0] for line in lines[1:]] == ["  POOL_SIZE", "  PORT"]

    @pytest.mark.slow
    def test_are_refused_without_a_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@h/d")
        done = run_process("serve")
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            "The settings are wrong:",
            "  DATABASE_URL is set, so CONFIG_MODE must be set too",
        ]


class TestServe:
    @pytest.fixture(autouse=True)
    def signals_restored(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.mark.parametrize("command", ["serve", "check", "openapi"])
    def test_traces_without_their_libraries_are_refused(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
        monkeypatch.delitem(sys.modules, "app.telemetry.spans", raising=False)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        result = run(command)
        assert result.exit_code == 1
        title, detail = result.stderr.splitlines()
        assert title == "The settings are wrong:"
        assert "pip install '.[tracing]'" in detail
        assert list(directory.iterdir()) == []

    def test_an_address_beyond_loopback_needs_the_mode(self) -> None:
        result = run("serve", "--host", "0.0.0.0")
        assert result.exit_code == 1
        assert "CONFIG_MODE must be set" in result.stderr

    def test_reload_takes_one_worker(self) -> None:
        result = run("serve", "--reload", "--workers", "2")
        assert result.exit_code == 1
        assert "WORKERS: " in result.stderr

    def test_a_port_in_use_is_reported_before_anything_starts(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            result = run("serve", "--port", str(port))
        assert result.exit_code == 1
        title, detail = result.stderr.splitlines()
        assert title == "The settings are wrong:"
        assert detail.startswith("  HOST, PORT: ")
        assert "Address already in use" in detail
        assert str(port) in detail
        assert list(directory.iterdir()) == []  # not even the embedded server's directory

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "a..b"])
    def test_an_address_of_another_host_is_reported(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        monkeypatch.setenv("CONFIG_MODE", "development")
        result = run("serve", "--host", host, "--port", "0")
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 2
        assert "  HOST, PORT: " in result.stderr
        assert list(directory.iterdir()) == []

    def test_an_unreachable_database_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/d"
        monkeypatch.setenv("CONFIG_MODE", "development")
        monkeypatch.setenv("DEVELOPMENT_DATABASE_URL", url)
        result = run("serve", "--port", "0")
        assert result.exit_code == 1
        title, detail = result.stderr.splitlines()
        assert title == "The database cannot be used (run `satchel check` for details):"
        assert "Connect call failed" in detail
        assert "hunter2" not in result.output


class TestMigrate:
    def test_an_empty_database_and_once_more(self, named_database: URL) -> None:
        empty = "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"
        asyncio.run(execute(named_database, *empty))
        assert run("check").exit_code == 1
        for _ in range(2):
            result = run("migrate")
            assert result.exit_code == 0
            assert result.stdout == "The schema is up to date.\n"
        assert run("check").exit_code == 0

    def test_logs_each_step(self, named_database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(execute(named_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"))
        monkeypatch.setenv("LOG_LEVEL", "info")
        events = [json.loads(line)["event"] for line in run("migrate").stderr.splitlines()]
        assert [event.partition(" -> ")[0] for event in events[:1]] == ["Running upgrade "]
        assert all(event.startswith("Running upgrade") for event in events)

    def test_of_a_newer_build_stays(self, named_database: URL) -> None:
        newer = "UPDATE alembic_version SET version_num = 'f00d'"
        asyncio.run(execute(named_database, newer))
        assert run("migrate").exit_code == 0
        assert run("check").exit_code == 0

    def test_makes_the_keys_of_an_earlier_build_anew(self, named_database: URL) -> None:
        asyncio.run(execute(named_database, *map(old_account, (1, 2))))
        result = run("migrate")
        assert (result.exit_code, result.stdout) == (0, "The schema is up to date.\n")
        with pytest.raises(IntegrityError, match="uq_accounts_email_key"):
            taken = old_account(3).replace("ada3@fass", "ada1@faß")
            asyncio.run(execute(named_database, taken))

    def test_names_two_accounts_whose_keys_meet(self, named_database: URL) -> None:
        meeting = old_account(1).replace("0001'", "0002'").replace("@fass", "x@fass")
        asyncio.run(execute(named_database, old_account(1), meeting))
        result = run("migrate")
        assert result.exit_code == 1
        first, second = (f"{UUID(int=number)}" for number in (1, 2))
        assert result.stderr.splitlines() == [
            "The migration stopped:",
            f"  accounts {first} and {second} would have the same email_key.",
            "  Delete one of them or change its email, then migrate again.",
        ]

    def test_reports_what_the_database_refused(self, named_database: URL) -> None:
        read_only = f"ALTER DATABASE {named_database.database} SET default_transaction_read_only=on"
        drop = "DROP TABLE alembic_version"
        asyncio.run(execute(named_database, drop, read_only))
        result = run("migrate")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "The database cannot be used (run `satchel check` for details):",
            "  cannot execute CREATE TABLE in a read-only transaction",
        ]

    @pytest.mark.usefixtures("named_database")
    def test_without_its_files_is_reported(self, directory: Path, own_migrations: Path) -> None:
        shutil.rmtree(own_migrations.parent)
        result = run("migrate")
        assert result.exit_code == 1
        assert result.stderr.startswith("The migrations cannot be used:\n  ")
        assert "Traceback" not in result.stderr


class TestCheck:
    @pytest.mark.usefixtures("named_database")
    def test_finds_nothing_wrong(self) -> None:
        result = run("check")
        assert result.exit_code == 0
        assert result.stdout == "ok     settings (mode testing)\nok     database\n"
        assert result.stderr == ""

    def test_prints_each_error_in_a_line(self, named_database: URL) -> None:
        read_only = f"ALTER DATABASE {named_database.database} SET default_transaction_read_only=on"
        asyncio.run(execute(named_database, "DROP TABLE alembic_version", read_only))
        result = run("check")
        assert result.exit_code == 1
        assert result.stdout == "ok     settings (mode testing)\n"
        first, second = result.stderr.splitlines()
        assert first.startswith("error  The database is read-only: ")
        assert second == "error  The database has no schema: run `satchel migrate`."


class TestBackup:
    @pytest.mark.slow
    def test_of_the_embedded_database_is_restored_into_another(
        self, empty_database: URL, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONFIG_MODE", "development")
        file = str(directory / "backup")
        assert run_process("migrate").returncode == 0
        secret = run_process("keys", "create", "--name", "me", "--scope", "read").stdout
        done = run_process("backup", file)
        assert (done.returncode, done.stdout) == (0, "")
        assert f"The backup is in {file}.\n" in done.stderr
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600

        for name, value in server_environment(empty_database).items():
            monkeypatch.setenv(name, value)
        result = run("restore", file)
        assert result.exit_code == 0, result.output
        assert "Run `satchel migrate`" in result.stdout
        assert run("check").exit_code == 0
        assert prefix_of(secret.strip()) in run("keys", "list").stdout

    @pytest.mark.usefixtures("named_database")
    def test_that_fails_leaves_the_file_that_was_there(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs = directory / "bin"
        programs.mkdir()
        for name in ("pg_dump", "pg_restore", "psql"):
            write_program(
                programs / name,
                '[ "$1" = --version ] && echo "(PostgreSQL) 99.1" && exit\n'
                "echo could not write: No space left on device >&2; exit 1",
            )
        monkeypatch.setenv("PG_BINDIR", str(programs))
        (directory / "backup").write_text("the last one")
        result = run("backup", "backup")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "Nothing was backed up or restored:",
            "  could not write: No space left on device",
        ]
        assert (directory / "backup").read_text() == "the last one"
        assert {path.name for path in directory.iterdir()} == {"backup", "bin"}

    @pytest.mark.usefixtures("named_database")
    def test_into_a_folder_that_is_not_there_is_reported(self) -> None:
        result = run("backup", "nowhere/backup")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "The output cannot be written:",
            "  nowhere/backup: No such file or directory.",
        ]

    @pytest.mark.usefixtures("named_database")
    def test_is_not_restored_over_data(self) -> None:
        assert run("backup", "backup").exit_code == 0
        result = run("restore", "backup")
        assert result.exit_code == 1
        assert "The database is not empty" in result.stderr

    def test_that_is_not_there_is_not_restored(self) -> None:
        result = run("restore", "backup")
        assert result.exit_code == 2
        assert "'backup' does not exist" in result.stderr


class TestDemo:
    def test_fills_an_empty_database_once(self, named_database: URL) -> None:
        few = ("demo", "--accounts", "3", "--items", "5")
        result = run(*few)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("Added with seed 1: accounts 3, items 5, favorites 2, ")

        result = run(*few, "--seed", "2")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "Nothing was changed:",
            "  There are accounts: use an empty database, or add to them with --into-existing.",
        ]
        result = run(*few, "--if-empty")
        assert (result.exit_code, result.stdout) == (0, "There are accounts already.\n")
        result = run(*few, "--into-existing")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "Nothing was changed:",
            "  There is demo data of seed 1 already: choose another --seed.",
        ]
        result = run(*few, "--into-existing", "--seed", "2")
        assert (result.exit_code, result.stderr) == (0, "")
        assert asyncio.run(count_accounts(named_database)) == 6

    @pytest.mark.parametrize(
        ("arguments", "option"),
        [
            ("--accounts 0", "--accounts"),
            ("--accounts -1", "--accounts"),
            ("--accounts many", "--accounts"),
            ("--accounts 1000001", "--accounts"),
            ("--items 0", "--items"),
            ("--items 1000001", "--items"),
            ("--seed -1", "--seed"),
            ("--seed 1.5", "--seed"),
            ("--if-empty --into-existing", "--if-empty"),
        ],
    )
    def test_a_wrong_option_is_named(self, arguments: str, option: str) -> None:
        result = run("demo", *arguments.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert option in result.stderr

    @pytest.mark.parametrize("table", ["accounts", "wishes"])
    def test_a_database_without_the_schema_stays_as_it_is(
        self, named_database: URL, monkeypatch: pytest.MonkeyPatch, table: str
    ) -> None:
        monkeypatch.setenv("MIGRATE_ON_START", "false")
        asyncio.run(execute(named_database, f"DROP TABLE {table} CASCADE"))
        result = run("demo", "--accounts", "3", "--items", "5")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "The database cannot be used (run `satchel check` for details):",
            f'  relation "{table}" does not exist',
        ]
        if table == "wishes":  # the last one that is filled
            assert asyncio.run(count_accounts(named_database)) == 0

    def test_an_unreachable_database_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONFIG_MODE", "development")
        monkeypatch.setenv("DEVELOPMENT_DATABASE_URL", f"postgresql://127.0.0.1:{free_port()}/d")
        result = run("demo")
        assert (result.exit_code, result.stdout) == (1, "")
        title, detail = result.stderr.splitlines()
        assert title == "The database cannot be used (run `satchel check` for details):"
        assert "Connect call failed" in detail

    @pytest.mark.slow
    def test_ctrl_c_leaves_nothing(self, named_database: URL) -> None:
        # Programs in the background ignore SIGINT.
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from app.cli.commands import main; main()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, "demo", "--accounts", "1000000"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            inserted = "SELECT pg_relation_size('accounts') > 0"
            wait_until(lambda: asyncio.run(ask(named_database, inserted)))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode > 0
        assert out == ""
        assert "Traceback" not in err
        assert asyncio.run(count_accounts(named_database)) == 0

    @pytest.mark.slow
    def test_other_commands_do_without_its_modules(self) -> None:
        program = "import sys, app.cli.commands; print('app.demo.rows' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "False\n"


class TestOpenAPI:
    def test_prints_the_document(self) -> None:
        result = run("openapi")
        assert result.exit_code == 0
        document = json.loads(result.stdout)
        assert document["openapi"].startswith("3.1")
        assert {"/accounts", "/items"} <= document["paths"].keys()

    @pytest.mark.parametrize("options", [[], ["--sdk"]])
    def test_names_the_server_that_listens_by_default(self, options: list[str]) -> None:
        document = json.loads(run("openapi", *options).stdout)
        (address,) = (urlsplit(server["url"]) for server in document["servers"])
        defaults = Settings.model_fields
        assert (address.scheme, address.port) == ("http", defaults["port"].default)
        assert socket.gethostbyname(address.hostname or "") == defaults["host"].default

    def test_prints_the_document_without_forms(self) -> None:
        document = json.loads(run("openapi", "--sdk").stdout)
        assert list(document["paths"]["/accounts"]["post"]["requestBody"]["content"]) == [
            "application/json"
        ]

    @pytest.mark.parametrize("options", [[], ["--sdk"]])
    def test_is_the_same_in_production(
        self, monkeypatch: pytest.MonkeyPatch, options: list[str]
    ) -> None:
        in_development = run("openapi", *options).stdout
        monkeypatch.setenv("CONFIG_MODE", "production")
        monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
        assert run("openapi", *options).stdout == in_development


class TestRevision:
    def test_takes_the_database_to_the_models(
        self, named_database: URL, own_migrations: Path
    ) -> None:
        before = set(own_migrations.glob("*.py"))
        drop = "DROP INDEX ix_accounts_created_id"
        asyncio.run(execute(named_database, drop))

        result = run("revision", "Put the index back")
        assert result.exit_code == 0, result.output
        (written,) = set(own_migrations.glob("*.py")) - before
        number = f"{len(before) + 1:04}"
        assert written.name == f"{number}_put_the_index_back.py"
        assert "create_index(op.f('ix_accounts_created_id')" in written.read_text()

        assert run("check").exit_code == 1
        assert run("migrate").exit_code == 0
        assert run("check").exit_code == 0
        asyncio.run(execute(named_database, drop))  # it is there again


class TestEmbedded:
    def test_is_reported_when_missing(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PG_BINDIR", str(directory))
        result = run("migrate")
        assert result.exit_code == 1
        title, *lines = result.stderr.splitlines()
        assert title == "The embedded PostgreSQL does not start:"
        assert "PG_BINDIR" in lines[0]


@pytest.mark.usefixtures("named_database")
class TestKeys:
    def test_are_created_listed_rotated_and_revoked(self) -> None:
        made = run("keys", "create", "--name", "ci", "--scope", "write", "--expires", "90d")
        assert made.exit_code == 0
        key = made.stdout.removesuffix("\n")
        assert is_well_formed(key.encode(), "testing")  # alone, for scripts
        assert re.fullmatch(
            "The key ci has the scope write and expires [0-9-]+ [0-9:]+Z. It is shown only once:\n",
            made.stderr,
        )
        rotated = run("keys", "rotate", "ci", "--overlap", "1h")
        assert rotated.exit_code == 0
        assert is_well_formed(rotated.stdout.strip().encode(), "testing")
        assert rotated.stderr.startswith("The old key expires ")
        listed = run("keys", "list")
        assert [line.split()[1:4] for line in listed.stdout.splitlines()[1:]] == [
            ["ci", "write", "good"],
            ["ci", "write", "rotated"],
        ]
        assert prefix_of(key) in listed.stdout
        assert key not in listed.stdout
        revoked = run("keys", "revoke", prefix_of(key))
        assert (
            revoked.stdout == f"Revoked: {prefix_of(key)}; servers refuse it within 30 seconds.\n"
        )
        assert run("keys", "revoke", "ci").exit_code == 0

    def test_may_not_expire(self) -> None:
        made = run("keys", "create", "--name", "ci", "--scope", "read")
        assert made.stderr == (
            "The key ci has the scope read and does not expire. It is shown only once:\n"
        )

    def test_none_to_list(self) -> None:
        assert run("keys", "list").stdout == "There are no keys.\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("create --name ci --scope read", "A key ci already exists: choose another name"),
            ("create --name x --scope read --expires 2020-01-01", "is in the past: choose a later"),
            ("rotate x", "There is no key x, or it is revoked"),
            ("revoke x", "There is no key x: see `satchel keys list`."),
        ],
    )
    def test_an_error_changes_nothing_and_says_what_to_do(
        self, arguments: str, message: str
    ) -> None:
        run("keys", "create", "--name", "ci", "--scope", "read")
        before = run("keys", "list").stdout
        result = run("keys", *arguments.split())
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Nothing was changed:\n  ")
        assert message in result.stderr
        assert run("keys", "list").stdout == before

    @pytest.mark.parametrize(
        ("arguments", "option"),
        [
            ("create --scope read", "--name"),
            ("create --name ci", "--scope"),
            ("create --name Ci --scope read", "--name"),
            ("create --name ci --scope all", "--scope"),
            ("create --name ci --scope read --expires soon", "--expires"),
            ("rotate ci --overlap soon", "--overlap"),
            ("rotate ci --expires soon", "--expires"),
        ],
    )
    def test_a_wrong_option_is_named(self, arguments: str, option: str) -> None:
        result = run("keys", *arguments.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert option in result.stderr

    def test_without_a_schema_is_reported(
        self, named_database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MIGRATE_ON_START", "false")
        asyncio.run(execute(named_database, "DROP TABLE api_keys"))
        result = run("keys", "list")
        assert result.exit_code == 1
        assert "satchel check" in result.stderr
        assert "api_keys" in result.stderr
        assert "Traceback" not in result.stderr
