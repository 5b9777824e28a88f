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
from tests.applications import client_of, make_settings, running_app
from tests.databases import add_revision, execute
from tests.servers import free_port
from tests.waiting import PATIENCE

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
        engine = create_async_engine(database)
        async with running_app(database) as application:
            async with engine.connect() as other:
                await other.execute(text("LOCK TABLE alembic_version"))
                async with asyncio.timeout(PATIENCE):  # it is still locked
                    assert await ready(application) == (503, DATABASE_FAILS)
            monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", PATIENCE)
            assert await ready(application) == (200, PASS)
        await engine.dispose()
