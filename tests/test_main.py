"""The application: what importing, creating, starting and stopping it does."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.main import create_app
from tests.applications import client_of, make_settings, running_app
from tests.databases import execute
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("logs_restored")

# Imports app.main and tells all that this did beyond reading code.
OBSERVED_IMPORT = """
import json, logging, os, sys, threading
import wsgiref.handlers  # copies the whole environment, whoever imports it
done = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def observe(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if flags & WRITING or str(path).endswith(".env"):
            done.append(f"opened {path}")
    elif event.startswith(("socket.", "subprocess.", "os.mkdir", "os.putenv", "signal.")):
        done.append(event)

class Environment(type(os.environ)):
    def __getitem__(self, name):
        if name.upper() in SETTINGS:
            done.append(f"read {name}")
        return super().__getitem__(name)

SETTINGS = set(json.loads(sys.argv[1]))
os.environ.__class__ = Environment
threads = threading.active_count()
sys.addaudithook(observe)
import app.main
from tests.waiting import PATIENCE
if "dns" in sys.modules:
    done.append("imported what only some settings need")
if logging.getLogger().handlers or threading.active_count() != threads:
    done.append("started something")
os.write(1, json.dumps(done).encode())
"""


class TestImport:
    @pytest.mark.slow
    def test_does_nothing(self, tmp_path: Path) -> None:
        names = [name.upper() for name in type(make_settings()).model_fields]
        (tmp_path / ".env").write_text("CONFIG_MODE=wrong\n")
        done = subprocess.run(
            [sys.executable, "-c", OBSERVED_IMPORT, json.dumps(names)],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parent.parent),
                "PYTHONDONTWRITEBYTECODE": "1",
                "DATABASE_URL": "wrong",
                "PORT": "wrong",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == []
        assert [path.name for path in tmp_path.iterdir()] == [".env"]


class TestCreate:
    def test_without_settings_takes_those_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CONFIG_MODE", "testing")
        monkeypatch.setenv("MAX_BODY_SIZE", "2048")
        assert create_app().state.settings.max_body_size == 2048

    def test_each_has_its_own_state(self) -> None:
        first, second = create_app(make_settings(port=1)), create_app(make_settings(port=2))
        assert (first.state.settings.port, second.state.settings.port) == (1, 2)

    @pytest.mark.parametrize("asked", [True, False])
    def test_asks_the_dns_only_where_told_to(self, asked: bool) -> None:
        settings = make_settings(email_deliverability=asked, email_dns_timeout=1.5)
        resolver = create_app(settings).state.email_resolver
        assert (resolver.lifetime if resolver else None) == (1.5 if asked else None)

    @pytest.mark.parametrize(("enabled", "status"), [(True, 200), (False, 404)])
    async def test_has_documentation_pages_where_told_to(self, enabled: bool, status: int) -> None:
        async with client_of(create_app(make_settings(docs_enabled=enabled))) as client:
            answers = [await client.get(path) for path in ("/docs", "/redoc")]
        assert [answer.status_code for answer in answers] == [status, status]


class TestRoot:
    async def test_says_what_this_is(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "private, no-cache"
        body = answer.json()
        assert body.pop("version").count(".") == 2
        assert body == {
            "message": "Hello World!",
            "name": "Satchel",
            "docs": "/docs",
            "openapi": "/openapi.json",
        }

    async def test_the_addresses_that_it_gives_are_there(self, client: httpx.AsyncClient) -> None:
        body = (await client.get("/")).json()
        for address in (body["docs"], body["openapi"]):
            assert (await client.get(address)).status_code == 200


async def connections_to(database: URL) -> int:
    engine = create_async_engine(database)
    statement = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'satchel'"
    )
    async with engine.connect() as connection:
        count: Any = await connection.scalar(statement)
    await engine.dispose()
    return int(count)


class TestLifespan:
    @pytest.mark.parametrize(("told", "status"), [(True, 200), (False, 503)])
    async def test_migrates_where_told_to(self, database: URL, told: bool, status: int) -> None:
        await execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        async with (
            running_app(database, migrate_on_start=told) as application,
            client_of(application) as client,
        ):
            assert (await client.get("/readyz")).status_code == status

    async def test_leaves_no_connection_behind(self, database: URL) -> None:
        async with running_app(database) as application, client_of(application) as client:
            assert (await client.get("/accounts")).status_code == 200
            assert await connections_to(database) > 0
        async with asyncio.timeout(PATIENCE):  # PostgreSQL needs a moment to see that
            while await connections_to(database):
                pass  # each look takes its time
