"""The sweeper deletes expired keys in batches, periodically and by command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from structlog.testing import capture_logs
from typer.testing import CliRunner

from app.api import idempotency_keys as idempotency
from app.cli import commands as cli
from app.postgres.background import running
from app.postgres.engine import make_engine
from app.postgres.statements import Statements
from app.serving import sweeper
from app.serving.sweeper import sweep_all, sweep_periodically
from tests.applications import make_settings, running_app
from tests.databases import execute
from tests.servers import server_environment
from tests.waiting import PATIENCE

KEYS = (
    "INSERT INTO idempotency_keys (principal, path, key, fingerprint, expires, status)"
    " SELECT 'anonymous', '/accounts', n, '', {}, 201 FROM generate_series(1, {}) AS n"
)
EXPIRED = "clock_timestamp() - interval '1 s'"


async def fill(database: URL, *, expired: int = 0, live: int = 0) -> None:
    await execute(
        database,
        KEYS.format(EXPIRED, expired),
        KEYS.replace("n, ''", "'live ' || n, ''").format(
            "clock_timestamp() + interval '1 h'", live
        ),
    )


@pytest.fixture
async def statements(database: URL) -> AsyncIterator[Statements]:
    statements = Statements(make_engine(database, make_settings(), autocommit=True))
    yield statements
    await statements.close()


async def keys_left(statements: Statements) -> int:
    return int(await statements.scalar(text("SELECT count(*) FROM idempotency_keys")) or 0)


# For tests that do not use the database.
UNUSED = Statements(create_async_engine("postgresql+asyncpg://127.0.0.1:1/none"))


class TestSweepAll:
    @pytest.mark.parametrize("expired", [0, 1, 1000, 2500])
    async def test_deletes_all_expired_keys(
        self, database: URL, statements: Statements, expired: int
    ) -> None:
        await fill(database, expired=expired, live=3)
        assert await sweep_all(statements) == expired
        assert await keys_left(statements) == 3

    async def test_commits_each_batch(
        self,
        database: URL,
        statements: Statements,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for module in (idempotency, sweeper):
            monkeypatch.setattr(module, "SWEEP_SIZE", 2)
        await fill(database, expired=5)
        left = []

        async def sweep_and_look(session: AsyncSession | Statements) -> int:
            swept = await idempotency.sweep(session)
            left.append(await keys_left(statements))
            return swept

        monkeypatch.setattr(sweeper, "sweep", sweep_and_look)
        assert await sweep_all(statements) == 5
        assert left == [3, 1, 0]


class TestSweeping:
    async def test_sweeps_periodically_until_the_block_ends(
        self,
        database: URL,
        statements: Statements,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sweeper, "SWEEP_INTERVAL_SECONDS", 0.02)
        async with asyncio.timeout(PATIENCE), running(sweep_periodically(statements)):
            for _ in range(2):
                await fill(database, expired=3)
                while await keys_left(statements):
                    pass
        await fill(database, expired=3)
        await asyncio.sleep(0.1)
        assert await keys_left(statements) == 3

    async def test_continues_after_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeper, "SWEEP_INTERVAL_SECONDS", 0.001)
        outcomes: list[Any] = [OperationalError("x", {}, OSError()), ConnectionRefusedError(), 7]
        done = asyncio.Event()

        async def sweep_all(_sessions: object) -> int:
            if not outcomes:
                done.set()
                return 0
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return int(outcome)

        monkeypatch.setattr(sweeper, "sweep_all", sweep_all)
        with capture_logs() as logs:
            async with asyncio.timeout(PATIENCE), running(sweep_periodically(UNUSED)):
                await done.wait()
        assert [(line["event"], line["log_level"]) for line in logs[:3]] == [
            ("sweep failed", "warning"),
            ("sweep failed", "warning"),
            ("swept", "debug"),
        ]
        assert [line.get("error") for line in logs[:2]] == [
            "OperationalError",
            "ConnectionRefusedError",
        ]
        assert logs[2]["keys"] == 7

    async def test_runs_while_the_application_does(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeper, "SWEEP_INTERVAL_SECONDS", 0.02)
        await fill(database, expired=3, live=1)
        async with asyncio.timeout(PATIENCE), running_app(database) as application:
            while await keys_left(application.state.statements) > 1:
                pass
        left = [task for task in asyncio.all_tasks() if "sweep" in repr(task.get_coro())]
        assert left == []

    async def test_workers_do_not_sweep_at_the_same_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 100:
                raise asyncio.CancelledError

        async def sweep_all(_sessions: object) -> int:
            return 0

        monkeypatch.setattr(asyncio, "sleep", sleep)
        monkeypatch.setattr(sweeper, "sweep_all", sweep_all)
        with pytest.raises(asyncio.CancelledError):
            await sweep_periodically(UNUSED)
        assert 300 <= min(waits) < 400
        assert 800 < max(waits) <= 900


@pytest.mark.usefixtures("logs_restored")
class TestCommand:
    @pytest.fixture
    def run(
        self, database: URL, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], Any]:
        monkeypatch.chdir(tmp_path)
        for name, value in server_environment(database).items():
            monkeypatch.setenv(name, value)
        return lambda: CliRunner().invoke(cli.app, ["sweep"])

    def test_prints_how_many_keys_it_deleted(self, database: URL, run: Callable[[], Any]) -> None:
        asyncio.run(fill(database, expired=1200, live=1))
        for expected in (1200, 0):
            result = run()
            assert result.exit_code == 0
            assert result.stdout == f"Expired keys deleted: {expected}\n"

    def test_without_a_schema_prints_the_error(self, database: URL, run: Callable[[], Any]) -> None:
        asyncio.run(execute(database, "DROP TABLE idempotency_keys"))
        result = run()
        assert result.exit_code == 1
        assert "idempotency_keys" in result.stderr
        assert "Traceback" not in result.stderr
