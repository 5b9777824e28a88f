"""Commands where a pooler shares the sessions of the database."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner, Result

from app.cli import commands as cli
from tests.databases import LIMITS, execute
from tests.poolers import Pooler, running_pooler

pytestmark = pytest.mark.usefixtures("logs_restored", "directory")
FILE = "email,username\nada@example.com,ada\nbob@example.com,bob\n"
PAST = "set MIGRATION_DATABASE_URL to a URL that leads past it."


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def rendered(url: URL) -> str:
    return url.render_as_string(hide_password=False)


class TestWithoutOne:
    def test_check_says_what_transaction_mode_costs(
        self, named_database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in (*LIMITS, "database_pooler"):
            monkeypatch.setenv(name.upper(), "transaction" if name == "database_pooler" else "0")
        result = run("check")
        assert result.exit_code == 0
        assert result.stdout == "ok     settings (mode testing)\nok     database\n"
        assert result.stderr.startswith("note   TEST_DATABASE_URL leads to no pooler")

    def test_an_import_has_no_limits_of_the_database(self, named_database: URL) -> None:
        limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        alter = f'ALTER DATABASE "{named_database.database}" SET'
        shown = ", ".join(f"current_setting('{name}')" for name in limits)
        asyncio.run(
            execute(
                named_database,
                *(f"{alter} {name} = '1min'" for name in limits),
                "CREATE FUNCTION require_none() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" ASSERT ARRAY[{shown}] = ARRAY['0', '0', '0']; RETURN NEW; END $$",
                "CREATE TRIGGER require_none BEFORE INSERT ON accounts FOR EACH ROW"
                " EXECUTE FUNCTION require_none()",
            )
        )
        Path("new.csv").write_text(FILE)
        for arguments in (["--validate-only"], []):
            result = run("import", "accounts", "new.csv", "--batch", "1", *arguments)
            assert result.exit_code == 0, result.output
            assert "2 created" in result.stdout


@pytest.fixture
def pooler(database_server: URL, server_home: Path) -> Iterator[Pooler]:
    with running_pooler(database_server, server_home / f"pooler-{secrets.token_hex(4)}") as pooler:
        yield pooler


@pytest.mark.slow
class TestThroughPgBouncer:
    @pytest.fixture(autouse=True)
    def configured(self, pooler: Pooler, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONFIG_MODE", "testing")
        monkeypatch.setenv("MIGRATE_ON_START", "false")
        monkeypatch.setenv("TEST_DATABASE_URL", rendered(pooler.url_of(database)))
        monkeypatch.setenv("DATABASE_POOLER", "transaction")

    @pytest.mark.parametrize("mode", ["none", "transaction"])
    @pytest.mark.parametrize("command", ["migrate", "backup file", f"restore {__file__}"])
    def test_what_needs_a_session_is_refused(
        self, command: str, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_POOLER", mode)
        result = run(*command.split())
        assert result.exit_code == 1
        assert result.stderr.rstrip().endswith(PAST)
        assert not Path("file").exists()

    def test_what_needs_a_session_goes_past_it(
        self, database: URL, pooler: Pooler, empty_database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MIGRATION_DATABASE_URL", rendered(database))
        asyncio.run(execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"))
        assert run("migrate").exit_code == 0
        assert run("backup", "file").exit_code == 0
        monkeypatch.setenv("TEST_DATABASE_URL", rendered(pooler.url_of(empty_database)))
        monkeypatch.setenv("MIGRATION_DATABASE_URL", rendered(empty_database))
        assert run("restore", "file").exit_code == 0
        for name in LIMITS:
            monkeypatch.setenv(name.upper(), "0")
        result = run("check")
        assert (result.exit_code, result.stderr) == (0, "")

    def test_the_others_go_through_it(self) -> None:
        Path("new.csv").write_text(FILE)
        assert "2 created" in run("import", "accounts", "new.csv").stdout
        assert run("export", "accounts", "out.csv").exit_code == 0
        assert len(Path("out.csv").read_text().splitlines()) == 3
        assert run("keys", "create", "--name", "ci", "--scope", "read").exit_code == 0
        assert "ci" in run("keys", "list").stdout
        assert run("sweep").stdout == "Expired keys deleted: 0\n"

    def test_check_names_the_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_POOLER", "none")
        result = run("check")
        assert result.exit_code == 1
        assert result.stderr == (
            "error  TEST_DATABASE_URL leads to a pooler that shares sessions, such as PgBouncer:"
            " set DATABASE_POOLER=transaction.\n"
        )


@pytest.fixture
async def role(database: URL) -> AsyncIterator[URL]:
    """The database for a role that may serve, with a password."""
    name = f"satchel_test_{secrets.token_hex(6)}"
    await execute(
        database,
        f"CREATE ROLE {name} LOGIN PASSWORD '{name}'",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
    )
    yield database.set(username=name, password=name)
    await execute(database, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.slow
async def test_the_settings_of_the_page_and_what_check_says_about_limits(
    role: URL,
    database: URL,
    database_server: URL,
    server_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the secret of the role, and with the statements that are shown."""
    engine = create_async_engine(database, poolclass=NullPool)
    async with engine.connect() as connection:
        secret = await connection.scalar(
            text("SELECT rolpassword FROM pg_authid WHERE rolname = :name"), {"name": role.username}
        )
    folder = server_home / f"pooler-{secrets.token_hex(4)}"
    users = f'"{role.username}" "{secret}"\n'
    with running_pooler(database_server, folder, users=users) as pooler:
        for name, value in {
            "CONFIG_MODE": "testing",
            "TEST_DATABASE_URL": rendered(pooler.url_of(role)),
            "DATABASE_POOLER": "transaction",
            "MIGRATION_DATABASE_URL": rendered(role),
        }.items():
            monkeypatch.setenv(name, value)
        result = await asyncio.to_thread(run, "check")
        assert result.exit_code == 1
        statements = [
            line.partition("): ")[2].partition(";")[0] for line in result.stderr.splitlines()
        ]
        assert len(statements) == len(LIMITS)
        await execute(database, *statements)
        pooler.stop()
        pooler.start()
        result = await asyncio.to_thread(run, "check")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "ok     settings (mode testing)\nok     database\n"

        wrong = pooler.url_of(role).set(password="wrong")
        monkeypatch.setenv("TEST_DATABASE_URL", rendered(wrong))
        result = await asyncio.to_thread(run, "check")
        assert result.exit_code == 1
