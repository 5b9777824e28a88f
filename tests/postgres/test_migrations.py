"""Migrations: up and down, concurrent, and with the same schema as the models."""

import asyncio
import io
import re
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Index, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.models import Account
from app.postgres import migrations
from app.postgres.migrations import (
    alembic_config,
    autogenerate,
    current_revision,
    migrate,
    older_revisions,
)
from tests.databases import SCHEMA, add_revision, describe, execute
from tests.expansion import add_expansion
from tests.waiting import PATIENCE, come

HEAD = ScriptDirectory.from_config(alembic_config()).get_current_head()


@pytest.fixture
async def empty_engine(empty_database: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(empty_database, pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    """An engine of a migrated database."""
    engine = create_async_engine(database, pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()


async def isolate(database: URL) -> None:
    """Make all transactions of a database serializable."""
    setting = "default_transaction_isolation = serializable"
    await execute(database, f'ALTER DATABASE "{database.database}" SET {setting}')


class TestSchema:
    async def test_of_the_migrations_is_that_of_the_models(
        self, engine: AsyncEngine, empty_engine: AsyncEngine
    ) -> None:
        async with empty_engine.begin() as connection:
            await connection.run_sync(Account.metadata.create_all)
        migrated, created = await describe(engine), await describe(empty_engine)
        for kind in SCHEMA:
            assert migrated[kind] == created[kind], kind
        assert {row[2].split()[0] for row in migrated["constraints"]} >= {
            *("CHECK", "FOREIGN", "PRIMARY", "UNIQUE")
        }

    async def test_has_no_difference_that_alembic_detects(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: command.check(alembic_config(sync)))

    async def test_has_at_most_ten_indexes_per_table(self, engine: AsyncEngine) -> None:
        tables = [row[0] for row in (await describe(engine))["indexes"]]
        assert max(tables.count(table) for table in tables) <= 10


class TestMigrate:
    async def test_up_down_and_up_again(self, empty_engine: AsyncEngine) -> None:
        assert await current_revision(empty_engine) is None
        await migrate(empty_engine)
        assert await current_revision(empty_engine) == HEAD
        first = await describe(empty_engine)
        async with empty_engine.connect() as connection:
            await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))
        assert await describe(empty_engine) == {kind: set() for kind in SCHEMA}
        await migrate(empty_engine)
        assert await describe(empty_engine) == first

    async def test_again_changes_nothing(self, engine: AsyncEngine) -> None:
        before = await describe(engine)
        await migrate(engine)
        assert await describe(engine) == before
        assert await current_revision(engine) == HEAD

    async def test_every_revision_alone(self, empty_engine: AsyncEngine) -> None:
        scripts = ScriptDirectory.from_config(alembic_config())
        for script in reversed(list(scripts.walk_revisions())):
            await migrate(empty_engine, script.revision)
            assert await current_revision(empty_engine) == script.revision

    async def test_ten_at_once_on_an_empty_database(self, empty_database: URL) -> None:
        async def one() -> None:
            engine = create_async_engine(empty_database, poolclass=NullPool)
            await migrate(engine)
            assert await current_revision(engine) == HEAD

        await asyncio.gather(*(one() for _ in range(10)))

    async def test_at_once_with_an_index_that_is_made_concurrently(
        self, empty_database: URL, own_migrations: Path
    ) -> None:
        last = add_expansion(own_migrations)

        async def one() -> None:
            engine = create_async_engine(empty_database, poolclass=NullPool)
            await migrate(engine)
            assert await current_revision(engine) == last

        await asyncio.gather(*(one() for _ in range(5)))

    def test_does_not_change_the_module_path(self) -> None:
        """Installed migrations are in the package's folder, whose modules must not become top-level
        modules."""
        before = list(sys.path)
        ScriptDirectory.from_config(alembic_config())
        assert sys.path == before

    @pytest.mark.slow
    def test_processes_at_once_on_an_empty_database(self, empty_database: URL) -> None:
        environment = {
            "PATH": "/usr/bin:/bin",
            "CONFIG_MODE": "testing",
            "TEST_DATABASE_URL": empty_database.render_as_string(hide_password=False),
        }
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "app.cli.commands", "migrate"],
                env=environment,
                cwd=migrations.ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(3)
        ]
        for process in started:
            output, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, output

    async def test_does_not_change_a_newer_schema(self, engine: AsyncEngine) -> None:
        before = await describe(engine)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await migrate(engine)
        assert await current_revision(engine) == "9999"
        assert await describe(engine) == before

    async def test_fails_if_a_table_stays_locked(
        self, engine: AsyncEngine, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert migrations.LIMITS["lock_timeout"] == "5s"
        monkeypatch.setitem(migrations.LIMITS, "lock_timeout", "100ms")
        other = create_async_engine(database, poolclass=NullPool)
        async with other.begin() as holder:
            await holder.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(DBAPIError, match="lock timeout"):
                await migrate(engine)
        await migrate(engine)

    async def test_fails_if_another_instance_never_ends(
        self, engine: AsyncEngine, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert migrations.LOCK_TIMEOUT_SECONDS == 120
        monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0.1)
        other = create_async_engine(database, poolclass=NullPool)
        async with other.connect() as holder:
            await holder.execute(text(f"SELECT pg_advisory_lock({migrations._LOCK_KEY})"))
            with pytest.raises(TimeoutError, match="Another instance migrates"):
                await migrate(engine)
        await migrate(engine)

    async def test_is_no_stricter_than_read_committed(
        self, database: URL, own_migrations: Path
    ) -> None:
        await isolate(database)
        statement = "CREATE TABLE seen AS SELECT current_setting('transaction_isolation') AS level"
        head = add_revision(own_migrations, statement)
        engine = create_async_engine(database, poolclass=NullPool)
        assert await current_revision(engine) == head
        await migrate(engine)
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT level FROM seen")) == "read committed"

    async def test_does_not_hold_up_an_index_that_is_built_concurrently(
        self, database: URL
    ) -> None:
        await isolate(database)
        engine = create_async_engine(database, poolclass=NullPool)
        async with migrations._alone(engine):
            index = "CREATE INDEX CONCURRENTLY another ON accounts (username)"
            await come(execute(database, index))

    @pytest.mark.parametrize("revision", ["head", "unknown"])
    async def test_leaves_the_connection_as_it_was(
        self, revision: str, engine: AsyncEngine
    ) -> None:
        settings = text(
            "SELECT name, setting FROM pg_settings"
            " WHERE name LIKE '%_timeout' OR name LIKE 'default_transaction_%'"
        )
        async with engine.connect() as connection:
            before = (await connection.execute(settings)).all()
        if revision == "head":
            await migrate(engine)
        else:
            with pytest.raises(Exception, match="unknown"):
                await migrate(engine, revision)
        async with engine.connect() as connection:  # the one that migrated, since the pool has one
            assert (await connection.execute(settings)).all() == before
            locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert await connection.scalar(locks) == 0


class TestOlderRevisions:
    def test_are_all_but_the_newest(self) -> None:
        scripts = list(ScriptDirectory.from_config(alembic_config()).walk_revisions())
        assert older_revisions() == {script.revision for script in scripts} - {HEAD}


def lint(revisions: str, script: Path, *excluded: str) -> str:
    """What is wrong with the SQL of these migrations; empty if nothing is."""
    config = alembic_config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, revisions, sql=True)
    script.write_text(config.output_buffer.getvalue())
    # Alembic's own table has a varchar, and versions of rows are integers by design.
    names = ",".join(["prefer-text-field", "prefer-bigint-over-int", *excluded])
    squawk = Path(sysconfig.get_path("scripts")) / "squawk"
    done = subprocess.run(
        [squawk, "--pg-version=15", f"--exclude={names}", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    change = r"^(?:INSERT INTO|UPDATE|DELETE FROM) (?!alembic_version).*"
    changes = re.findall(change, script.read_text(), re.MULTILINE)
    return "\n".join([done.stdout if done.returncode else "", *changes]).strip()


# Servers of earlier builds had to be stopped for the migrations up to this one.
LAST_WITH_A_STOP = "0003"


class TestOffline:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        return tmp_path / "upgrade.sql"

    def test_the_sql_of_migrations_with_a_stop_passes_the_linter(self, script: Path) -> None:
        assert lint(f"base:{LAST_WITH_A_STOP}", script, "require-concurrent-index-deletion") == ""
        assert "CREATE TABLE accounts" in script.read_text()

    def test_all_later_migrations_leave_the_build_before_working(
        self, script: Path, own_migrations: Path
    ) -> None:
        add_expansion(own_migrations)
        assert lint(f"{LAST_WITH_A_STOP}:head", script) == ""
        assert "CREATE INDEX CONCURRENTLY" in script.read_text()

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE accounts ADD COLUMN nickname text NOT NULL",
            "ALTER TABLE accounts ALTER COLUMN country SET NOT NULL",
            "ALTER TABLE accounts ALTER COLUMN version TYPE bigint",
            "ALTER TABLE accounts RENAME COLUMN username TO name",
            "ALTER TABLE accounts RENAME TO people",
            "ALTER TABLE accounts DROP COLUMN country",
            "DROP TABLE wishes",
            "CREATE INDEX ix_accounts_nickname ON accounts (country, id)",
            "DROP INDEX ix_accounts_created",
            "UPDATE accounts SET country = NULL",
            "DELETE FROM accounts",
        ],
    )
    def test_a_migration_that_the_build_before_does_not_survive_is_refused(
        self, script: Path, own_migrations: Path, statement: str
    ) -> None:
        add_revision(own_migrations, statement)
        assert lint(f"{LAST_WITH_A_STOP}:head", script) != ""
        assert statement in script.read_text()

    def test_without_a_connection_says_what_to_run(self) -> None:
        with pytest.raises(SystemExit, match="satchel migrate"):
            command.upgrade(alembic_config(), "head")


class TestAutogenerate:
    @pytest.fixture
    def extra_index(self) -> Iterator[str]:
        """Add an index to the models that the migrations do not have."""
        table = Account.metadata.tables["accounts"]
        index = Index("ix_extra", table.c.phone_number)
        yield "ix_extra"
        table.indexes.discard(index)

    async def test_writes_a_migration_with_the_difference(
        self, engine: AsyncEngine, own_migrations: Path, extra_index: str
    ) -> None:
        def write(connection: Connection) -> None:
            autogenerate(connection, "One more index")

        before = set(own_migrations.glob("*.py"))
        async with engine.connect() as connection:
            await connection.run_sync(write)
        [script] = set(own_migrations.glob("*.py")) - before
        number = f"{len(before) + 1:04}"
        assert script.name == f"{number}_one_more_index.py"
        assert script.read_text().startswith('"""One more index."""\n')
        await migrate(engine)
        assert await current_revision(engine) == number
        assert extra_index in {row[1] for row in (await describe(engine))["indexes"]}
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "-1"))
        assert extra_index not in {row[1] for row in (await describe(engine))["indexes"]}
