"""Probes, with a database that is available, unavailable, hanging, older or newer."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.main import create_app
from app.serving import health
from app.serving.health import Examiner
from tests.applications import client_of, make_settings, running_app
from tests.databases import LIMITS, add_revision, execute
from tests.servers import free_port
from tests.waiting import PATIENCE, until

PASS = {"status": "pass", "checks": {"database": "pass", "schema": "pass"}}
SCHEMA_FAILS = {"status": "fail", "checks": {"database": "pass", "schema": "fail"}}
DATABASE_FAILS = {"status": "fail", "checks": {"database": "fail", "schema": "fail"}}


async def ready(application: FastAPI) -> tuple[int, Any]:
    async with client_of(application) as client:
        answer = await client.get("/readyz")
    assert answer.headers["content-type"] == "application/health+json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


async def ready_with(database: URL) -> tuple[int, Any]:
    """The readiness of an application that does not migrate this database."""
    async with running_app(database, migrate_on_start=False) as application:
        return await ready(application)


class TestLivez:
    async def test_needs_only_the_process(self) -> None:
        async with client_of(create_app(make_settings())) as client:  # its lifespan does not run
            answer = await client.get("/livez")
        assert answer.status_code == 200
        assert answer.json() == {"status": "pass"}
        assert answer.headers["content-type"] == "application/health+json"
        assert answer.headers["cache-control"] == "no-store"


class TestReadyz:
    async def test_passes_with_one_statement(self, app: FastAPI, statements: list[str]) -> None:
        assert await ready(app) == (200, PASS)
        assert len(statements) == 1

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
    async def test_accepts_the_methods_of_load_balancers(
        self, client: httpx.AsyncClient, method: str
    ) -> None:
        answer = await client.request(method, "/readyz")
        assert answer.is_success
        assert answer.content == b""

    async def test_a_missing_schema_fails(self, database: URL) -> None:
        await execute(database, "DROP TABLE alembic_version")
        assert await ready_with(database) == (503, SCHEMA_FAILS)

    async def test_a_schema_that_was_never_migrated_fails(self, database: URL) -> None:
        await execute(database, "DELETE FROM alembic_version")
        assert await ready_with(database) == (503, SCHEMA_FAILS)

    async def test_an_older_schema_fails(self, database: URL, own_migrations: Path) -> None:
        add_revision(own_migrations)
        assert await ready_with(database) == (503, SCHEMA_FAILS)

    async def test_a_newer_schema_passes(self, database: URL) -> None:
        await execute(database, "UPDATE alembic_version SET version_num = 'f00d'")
        assert await ready_with(database) == (200, PASS)

    async def test_an_unreachable_database_fails(self) -> None:
        away = URL.create("postgresql+asyncpg", "me", "x", "127.0.0.1", free_port(), "d")
        assert await ready_with(away) == (503, DATABASE_FAILS)

    async def test_a_database_that_does_not_exist_fails(self, database_server: URL) -> None:
        absent = database_server.set(database="satchel_absent")
        assert await ready_with(absent) == (503, DATABASE_FAILS)

    async def test_a_hanging_database_fails_in_time_and_recovers(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.1)
        monkeypatch.setattr(health, "SHARED_SECONDS", 0)
        engine = create_async_engine(database)
        async with running_app(database) as application:
            async with engine.connect() as other:
                await other.execute(text("LOCK TABLE alembic_version"))
                async with asyncio.timeout(PATIENCE):  # it is still locked
                    assert await ready(application) == (503, DATABASE_FAILS)
            monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", PATIENCE)
            assert await ready(application) == (200, PASS)
        await engine.dispose()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestSharing:
    @pytest.fixture
    def clock(self, app: FastAPI) -> Clock:
        clock = Clock()
        app.state.examiner = Examiner(app.state, clock)
        return clock

    async def test_requests_of_half_a_second_share_one_statement(
        self, app: FastAPI, clock: Clock, statements: list[str]
    ) -> None:
        async with client_of(app) as client:
            for expected in (1, 2):
                for _ in range(2):
                    asked = (client.get(path) for path in ("/readyz", "/metrics") * 20)
                    answers = await asyncio.gather(*asked)
                    assert {answer.status_code for answer in answers} == {200}
                    assert len(statements) == expected
                    clock.now += 0.4
                clock.now += 0.1

    async def test_a_flood_takes_one_connection(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", PATIENCE)
        engine = create_async_engine(database)
        limits = dict.fromkeys(LIMITS, 0)
        async with (
            running_app(database, pool_size=2, **limits) as application,
            client_of(application) as client,
            engine.connect() as other,
        ):
            await other.execute(text("LOCK TABLE alembic_version"))
            flood = [asyncio.create_task(client.get("/readyz")) for _ in range(200)]
            queue = application.state.statements.queue
            await until(lambda: application.state.counters.in_flight == 200)
            assert (queue.in_use, queue.waiting) == (1, 0)
            assert (await client.get("/accounts")).status_code == 200
            flood.pop().cancel()  # leaves the others alone
            await other.rollback()
            assert {task.status_code for task in await asyncio.gather(*flood)} == {200}
        await engine.dispose()

    async def test_is_over_for_a_failure_too(
        self, app: FastAPI, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> Any:
            raise ConnectionRefusedError

        with monkeypatch.context() as patch:
            patch.setattr(app.state.statements, "execute", fail)
            assert await ready(app) == (503, DATABASE_FAILS)
        clock.now += 0.4
        assert await ready(app) == (503, DATABASE_FAILS)
        clock.now += 0.1
        assert await ready(app) == (200, PASS)
