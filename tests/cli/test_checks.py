"""What `satchel check` finds wrong with a database, and how it says to fix it."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from app.cli import checks
from app.cli.checks import check_database, check_replica, explain, note_on_pooler
from app.cli.commands import app
from app.config import Settings
from app.postgres import freshness, poolers
from tests.applications import make_settings
from tests.databases import LIMITS, add_revision, execute
from tests.replication import Primary, holding_replay
from tests.servers import free_port

SETTINGS = make_settings()
MIGRATE = "run `satchel migrate`."


@pytest.fixture
async def make_database(database_server: URL) -> AsyncIterator[Callable[[str], Awaitable[URL]]]:
    """Creates databases without a schema; they are dropped after the test."""
    made: list[str] = []

    async def make(options: str = "") -> URL:
        made.append(f"satchel_test_{secrets.token_hex(6)}")
        await execute(database_server, f"CREATE DATABASE {made[-1]} {options}")
        return database_server.set(database=made[-1])

    yield make
    for name in made:
        await execute(database_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def stranger(database_server: URL) -> AsyncIterator[URL]:
    """A user with no privilege but to connect."""
    name = f"satchel_test_{secrets.token_hex(6)}"
    await execute(database_server, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    yield database_server.set(username=name, password=name)
    await execute(database_server, f"DROP ROLE {name}")


class TestCheckDatabase:
    async def test_finds_nothing_wrong_with_a_migrated_one(self, database: URL) -> None:
        assert await check_database(database, SETTINGS) == []

    async def test_no_schema(self, make_database: Callable[..., Awaitable[URL]]) -> None:
        errors = await check_database(await make_database(), SETTINGS)
        assert errors == [f"The database has no schema: {MIGRATE}"]

    async def test_an_older_schema(self, database: URL, own_migrations: Path) -> None:
        older = add_revision(own_migrations)
        errors = await check_database(database, SETTINGS)
        assert errors == [f"The database is at revision {older}: {MIGRATE}"]

    async def test_a_newer_schema_is_no_error(self, database: URL) -> None:
        await execute(database, "UPDATE alembic_version SET version_num = 'f00d'")
        assert await check_database(database, SETTINGS) == []

    async def test_read_only(self, database: URL) -> None:
        await execute(
            database, f"ALTER DATABASE {database.database} SET default_transaction_read_only = on"
        )
        assert await check_database(database, SETTINGS) == [
            "The database is read-only: use the primary, or add ?target_session_attrs=read-write."
        ]

    async def test_no_primary(self, database: URL) -> None:
        await execute(
            database, f"ALTER DATABASE {database.database} SET default_transaction_read_only = on"
        )
        url = database.update_query_dict({"target_session_attrs": "read-write"})
        (error,) = await check_database(url, SETTINGS)
        assert error == (
            "The database cannot be used (no host is what target_session_attrs asks for):"
            " fix that, or correct TEST_DATABASE_URL."
        )

    async def test_wrong_encoding(self, make_database: Callable[..., Awaitable[URL]]) -> None:
        url = await make_database(
            "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
        errors = await check_database(url, SETTINGS)
        assert errors[0] == "The database has the encoding LATIN1: create one with UTF8."

    async def test_old_server(self, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "OLDEST_SERVER", 990000)
        errors = await check_database(database, SETTINGS)
        assert errors == ["PostgreSQL is older than 15: use a newer server."]

    async def test_user_who_cannot_migrate_a_database_that_needs_it(
        self, make_database: Callable[..., Awaitable[URL]], stranger: URL
    ) -> None:
        empty = await make_database()
        assert await check_database(stranger.set(database=empty.database), SETTINGS) == [
            f"The database has no schema: {MIGRATE}",
            "The user may not create tables: GRANT CREATE ON SCHEMA public TO this user.",
        ]

    async def test_user_who_may_only_serve(self, database: URL, stranger: URL) -> None:
        await execute(database, "GRANT SELECT ON alembic_version TO PUBLIC")
        assert await check_database(stranger.set(database=database.database), SETTINGS) == []

    async def test_user_who_may_not_even_read(self, database: URL, stranger: URL) -> None:
        (error,) = await check_database(stranger.set(database=database.database), SETTINGS)
        assert "(permission denied for table alembic_version): fix that, or correct" in error

    async def test_unreachable(self) -> None:
        url = URL.create("postgresql+asyncpg", "me", "hunter2", "127.0.0.1", free_port(), "d")
        (error,) = await check_database(url, SETTINGS)
        assert "Connect call failed ('127.0.0.1'" in error
        assert error.endswith("): start it, or correct TEST_DATABASE_URL.")
        assert "hunter2" not in error

    async def test_no_such_database(self, database_server: URL) -> None:
        absent = database_server.set(database="satchel_absent", password="hunter2")
        (error,) = await check_database(absent, SETTINGS)
        assert '(database "satchel_absent" does not exist): fix that, or correct' in error
        assert "hunter2" not in error

    async def test_names_the_variable_of_the_mode(self) -> None:
        url = f"postgresql://127.0.0.1:{free_port()}/d"
        settings = make_settings(config_mode="production", production_database_url=url)
        assert settings.url is not None
        (error,) = await check_database(settings.url, settings)
        assert error.endswith("correct PRODUCTION_DATABASE_URL.")


async def always(*_: object) -> bool:
    return True


@pytest.fixture
def behind_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database looks as it does through a pooler."""
    for name in ("is_proxied", "share_sessions"):
        monkeypatch.setattr(checks, name, always)


POOLER = "leads to a pooler that shares sessions, such as PgBouncer"
NO_LIMITS = dict.fromkeys(LIMITS, 0)
POOLED = make_settings(database_pooler="transaction")


class TestPoolers:
    @pytest.mark.usefixtures("behind_pooler")
    async def test_one_that_the_settings_do_not_name(self, database: URL) -> None:
        assert await check_database(database, SETTINGS) == [
            f"TEST_DATABASE_URL {POOLER}: set DATABASE_POOLER=transaction."
        ]

    async def test_limits_are_those_of_the_role(self, database: URL) -> None:
        name = database.database
        await execute(database, f"ALTER DATABASE {name} SET lock_timeout = '2s'")
        errors = await check_database(database, POOLED)
        found = [re.fullmatch(r"(\w+ is .+): (ALTER ROLE .+); then (.+)", e) for e in errors]
        idle = "idle_in_transaction_session_timeout is 0 ms and not 10000 ms"
        assert [each[1] for each in found if each is not None] == [
            f"{idle} (IDLE_IN_TRANSACTION_TIMEOUT)",
            "statement_timeout is 0 ms and not 5000 ms (STATEMENT_TIMEOUT)",
        ]
        await execute(database, *(each[2] for each in found if each is not None))
        assert await check_database(database, POOLED) == []

    async def test_limits_that_are_left_to_the_database_may_be_any(self, database: URL) -> None:
        settings = make_settings(database_pooler="transaction", **NO_LIMITS)
        assert await check_database(database, settings) == []

    async def test_transaction_mode_without_one_is_noted(self, database: URL) -> None:
        assert await note_on_pooler(database, SETTINGS) == []
        (note,) = await note_on_pooler(database, POOLED)
        assert note == (
            "TEST_DATABASE_URL leads to no pooler that shares sessions:"
            " DATABASE_POOLER=transaction doubles the round trips of each statement."
        )

    @pytest.mark.usefixtures("behind_pooler")
    async def test_commands_that_need_another_url_are_noted(self, database: URL) -> None:
        (note,) = await note_on_pooler(database, POOLED)
        assert note == "`satchel migrate`, `backup` and `restore` need MIGRATION_DATABASE_URL."
        settings = migrating(database).model_copy(update={"database_pooler": "transaction"})
        assert await note_on_pooler(database, settings) == []


def migrating(database: URL) -> Settings:
    """Settings with this URL for migrations."""
    url = database.render_as_string(hide_password=False)
    return make_settings(test_database_url=url, migration_database_url=url)


class TestMigrationURL:
    async def test_of_the_same_database(self, database: URL) -> None:
        assert await check_database(database, migrating(database)) == []

    async def test_of_another_one(self, database: URL, database_server: URL) -> None:
        (error,) = await check_database(database, migrating(database_server))
        assert error == (
            "MIGRATION_DATABASE_URL leads to another database than TEST_DATABASE_URL:"
            " correct one of them."
        )

    async def test_that_leads_to_a_pooler(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = migrating(database).model_copy(
            update={"database_pooler": "transaction", **NO_LIMITS}
        )
        for name in ("is_proxied", "share_sessions"):
            monkeypatch.setattr(poolers, name, always)
        (error,) = await check_database(database, settings)
        fix = "set MIGRATION_DATABASE_URL to a URL that leads past it."
        assert error == f"MIGRATION_DATABASE_URL {POOLER}: {fix}"

    async def test_that_leads_nowhere(self, database: URL) -> None:
        nowhere = URL.create("postgresql+asyncpg", "me", "hunter2", "127.0.0.1", free_port(), "d")
        (error,) = await check_database(database, migrating(nowhere))
        assert error.startswith("The database of MIGRATION_DATABASE_URL cannot be used (")
        assert error.endswith("): start it, or correct MIGRATION_DATABASE_URL.")
        assert "hunter2" not in error

    async def test_that_is_read_only(self, database: URL) -> None:
        read_only = database.update_query_dict({"options": "-cdefault_transaction_read_only=on"})
        (error,) = await check_database(database, migrating(read_only))
        assert error.startswith("MIGRATION_DATABASE_URL: The database is read-only: use the")

    async def test_needs_no_privilege(self, database: URL, stranger: URL) -> None:
        await execute(database, "GRANT SELECT ON alembic_version TO PUBLIC")
        mine = stranger.set(database=database.database)
        assert await check_database(mine, migrating(mine)) == []


@pytest.mark.slow
class TestReplicaURL:
    async def test_of_a_replica(self, primary: Primary) -> None:
        assert await check_replica(primary.replicate(), primary.url, SETTINGS) == []

    async def test_of_the_primary(self, primary: Primary) -> None:
        (error,) = await check_replica(primary.url, primary.url, SETTINGS)
        fix = "name a replica, or unset it."
        assert error == f"REPLICA_DATABASE_URL leads to a primary: {fix}"

    async def test_of_another_cluster(self, primary: Primary, database: URL) -> None:
        (error,) = await check_replica(database, primary.url, SETTINGS)
        fix = "name a replica of the same cluster, with the same name of the database."
        other = "another database than the primary's"
        assert error == f"REPLICA_DATABASE_URL leads to {other}: {fix}"

    @pytest.mark.parametrize("max_lag", [0.1, 3600])
    async def test_of_one_that_is_behind(
        self, primary: Primary, monkeypatch: pytest.MonkeyPatch, max_lag: float
    ) -> None:
        monkeypatch.setattr(freshness, "MAX_INTERVAL_SECONDS", 0.1)
        if max_lag == 3600:  # within which it would not come to an end
            monkeypatch.setattr(checks, "REPLICA_PATIENCE_SECONDS", 0.5)
        settings = make_settings(replica_max_lag=max_lag)
        replica = primary.replicate()
        async with holding_replay(primary.url, replica):
            (error,) = await check_replica(replica, primary.url, settings)
        fix = "see pg_stat_replication on the primary, or raise REPLICA_MAX_LAG."
        assert error == f"A replica is behind by more than REPLICA_MAX_LAG: {fix}"

    async def test_that_leads_nowhere(self, database: URL) -> None:
        nowhere = URL.create("postgresql+asyncpg", "me", "hunter2", "127.0.0.1", free_port(), "d")
        (error,) = await check_replica(nowhere, database, SETTINGS)
        assert error.startswith("The replica cannot be used (")
        assert error.endswith("): start it, or correct REPLICA_DATABASE_URL.")
        assert "hunter2" not in error

    async def test_that_leads_to_a_pooler(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("is_proxied", "share_sessions"):
            monkeypatch.setattr(poolers, name, always)
        (error,) = await check_replica(database, database, SETTINGS)
        fix = "set it to a URL that leads past it."
        assert error == f"REPLICA_DATABASE_URL {POOLER}: {fix}"

    def test_is_checked_by_the_command(
        self, primary: Primary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = primary.url.render_as_string(hide_password=False)
        monkeypatch.setenv("CONFIG_MODE", "testing")
        monkeypatch.setenv("TEST_DATABASE_URL", url)
        monkeypatch.setenv("REPLICA_DATABASE_URL", url)
        result = CliRunner().invoke(app, ["check"])
        assert result.exit_code == 1
        assert "error  REPLICA_DATABASE_URL leads to a primary" in result.stderr


class TestExplain:
    def test_is_one_line(self) -> None:
        assert explain(OSError("first\nsecond")) == "first"

    def test_is_never_empty(self) -> None:
        assert explain(TimeoutError()) == "TimeoutError"
