"""What tests stand on: a real PostgreSQL, a migrated database, applications and servers.

Most tests run on one connection whose transaction is rolled back. Tests about commits, concurrency
or restarts get a database of their own, cloned from the migrated template.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from sqlalchemy import URL, Executable, Result, event, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from app.config import Mode, Settings, parse_database_url
from app.main import create_app
from app.postgres import migrations
from app.postgres import statements as statements_module
from app.postgres.embedded import embedded_postgres
from app.postgres.migrations import migrate
from app.postgres.statement_count import count_statement
from app.postgres.statements import Statements
from tests.guard import start_guard
from tests.pythons import note_on_python
from tests.waiting import PATIENCE, wait_until

# The environment of whoever runs the tests must not change them, and no test may touch the
# database that a variable names: only the server that TEST_DATABASE_URL names is used.
TEST_SERVER = os.environ.get("TEST_DATABASE_URL")
for _name in Settings.model_fields:
    os.environ.pop(_name.upper(), None)
    os.environ.pop(f"{_name.upper()}_FILE", None)

start_guard()

# What a database may take for, each by the setting of that name; 0 is without end.
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_timeout")
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class _GivenSettings(Settings):
    """Settings from the given values alone; looking for others takes most of their time."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def make_settings(**values: Any) -> Settings:
    """Settings from these values alone."""
    return _GivenSettings(**{"config_mode": Mode.testing, **values})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str, package: str) -> str:
    """The path of a program that is not Python's; the test is skipped without it.

    With REQUIRE_ALL=1 nothing is skipped.
    """
    path = shutil.which(name)
    if path is None:
        message = f"{name} is missing: install the package {package}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session", autouse=True)
def measuring() -> Iterator[dict[str, str]]:
    """The variables with which a process measures its coverage, where the test's own does.

    Those that tests start do not without them: it doubles the time that they take to start, and
    most run only what other tests run too.
    """
    with pytest.MonkeyPatch.context() as patch:
        found = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_P")}
        for name in found:
            patch.delenv(name)
        yield found


@pytest.fixture
def measured(measuring: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that the test starts measure their coverage."""
    for name, value in measuring.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A directory in memory where the system has one: its path must be short, for sockets."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="satchel-", dir=parent) as home:
        Path(home).chmod(0o711)  # root's server may have to run as another user, who must get in
        yield Path(home)


@pytest.fixture(scope="session")
def database_server(server_home: Path) -> Iterator[URL]:
    """A PostgreSQL for the whole run: the one that TEST_DATABASE_URL names, or the embedded one."""
    if TEST_SERVER:
        yield parse_database_url(TEST_SERVER)
    else:
        with embedded_postgres(server_home / "pg", settings=FAST) as url:
            yield make_url(url)


async def execute(database: URL, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.fixture(scope="session")
async def template(database_server: URL) -> AsyncIterator[URL]:
    """A migrated database under a random name, to be cloned and never changed."""
    name = f"satchel_test_{secrets.token_hex(6)}"
    await execute(database_server, f'CREATE DATABASE "{name}"')
    url = database_server.set(database=name)
    engine = create_async_engine(url, poolclass=NullPool)
    await migrate(engine)
    await engine.dispose()
    yield url
    if TEST_SERVER:
        await execute(database_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
async def clone_database(
    database_server: URL, template: URL
) -> AsyncIterator[Callable[[], Awaitable[URL]]]:
    """Makes migrated, empty databases; no server keeps one of them."""
    names: list[str] = []

    async def clone() -> URL:
        names.append(f"{template.database}_{len(names)}")
        await execute(
            database_server, f'CREATE DATABASE "{names[-1]}" TEMPLATE "{template.database}"'
        )
        return database_server.set(database=names[-1])

    yield clone
    if TEST_SERVER:  # the embedded one goes with all its databases
        await execute(database_server, *(f'DROP DATABASE "{name}" WITH (FORCE)' for name in names))


@pytest.fixture
async def database(clone_database: Callable[[], Awaitable[URL]]) -> URL:
    """An empty database of this test's own."""
    return await clone_database()


@pytest.fixture(scope="session")
async def shared_engine(clone_database: Callable[[], Awaitable[URL]]) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(await clone_database())
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(shared_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back when the test ends."""
    async with shared_engine.connect() as connection:
        transaction = await connection.begin()
        yield connection
        await transaction.rollback()


@pytest.fixture
def settings() -> Settings:
    """The settings of `app`; a test module may override them."""
    return make_settings()


@pytest.fixture
def app(connection: AsyncConnection, settings: Settings) -> FastAPI:
    """The application on `connection`: all that it writes is gone after the test."""
    application = create_app(settings)
    application.state.statements = OneConnection(connection)
    application.state.older_revisions = frozenset()
    return application


class OneConnection(Statements):
    """Statements and transactions as savepoints of one connection's transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        self.connection = connection
        self.session_options = {"bind": connection, "join_transaction_mode": "create_savepoint"}

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        count_statement()
        async with self.connection.begin_nested():
            return await self.connection.execute(statement, parameters)


def client_of(application: FastAPI) -> httpx.AsyncClient:
    """A client that talks to the application in this process."""
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://satchel.test")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
def statements(connection: AsyncConnection) -> Iterator[list[str]]:
    """The SQL statements that the test's connection ran, without savepoints."""
    seen: list[str] = []

    def record(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "SAVEPOINT" not in statement:
            seen.append(statement)

    sync = connection.sync_connection
    assert sync is not None
    event.listen(sync, "before_cursor_execute", record)
    yield seen
    event.remove(sync, "before_cursor_execute", record)


@contextlib.asynccontextmanager
async def running_app(database: URL, **values: Any) -> AsyncIterator[FastAPI]:
    """The application with its own engine on a real database, as a worker runs it."""
    url = database.render_as_string(hide_password=False)
    application = create_app(make_settings(test_database_url=url, **values))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def committed_client(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that really commits, on a database of its own.

    It refuses nobody because the machine is slow: whoever has to wait, waits.
    """
    monkeypatch.setattr(statements_module, "POOL_WAIT_SECONDS", PATIENCE)
    limits = dict.fromkeys(LIMITS, 0)
    async with running_app(database, **limits) as application, client_of(application) as client:
        yield client


@pytest.fixture
def own_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a copy of the migrations, which the application takes for its own."""
    root = migrations.ROOT
    shutil.copy(root / "alembic.ini", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "alembic", tmp_path / "alembic", ignore=ignored)
    monkeypatch.setattr(migrations, "ROOT", tmp_path)
    return tmp_path / "alembic" / "versions"


def add_revision(versions: Path) -> str:
    """Add a migration that changes nothing; the revision before it."""
    head = max(script.name for script in versions.glob("*.py"))[:4]
    script = f"revision, down_revision = 'next', '{head}'\ndef upgrade(): pass\n"
    (versions / "next.py").write_text(script)
    return head


@pytest.fixture
def logs_restored() -> Iterator[None]:
    """For tests that configure logs: afterwards they go where they went before."""
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "satchel.sql"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.handlers, one.level, one.propagate, one.disabled) for one in loggers]
    yield
    for one, state in zip(loggers, before, strict=True):
        one.handlers, one.level, one.propagate, one.disabled = state


class Server:
    """`satchel serve`, or another `command` of Python, as a process (and a group) of its own."""

    def __init__(
        self,
        environment: dict[str, str],
        *options: str,
        cwd: Path,
        command: Sequence[str] = ("-m", "app.cli.commands", "serve"),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = cwd / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "--port", str(self.port), *options],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
                cwd=cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        self.wait_until_answers("/readyz")

    def wait_until_answers(self, path: str) -> None:
        """Return once it answers 200."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}{path}").status_code == 200
            return False

        wait_until(answers, f"the server does not answer, see {self.log}")

    def stop(self, signum: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """End the process and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, waits until they are ready, and stops them when the test ends."""
    servers: list[Server] = []

    def start(environment: dict[str, str], *options: str, **more: Any) -> Server:
        servers.append(Server(environment, *options, cwd=tmp_path, **more))
        servers[-1].wait_until_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def server_environment(database: URL) -> dict[str, str]:
    return {
        "CONFIG_MODE": "testing",
        "TEST_DATABASE_URL": database.render_as_string(hide_password=False),
    }


@pytest.fixture
async def server_url(database: URL, start_server: Callable[..., Server]) -> str:
    """The address of a running server with an empty database."""
    server: Server = await asyncio.to_thread(start_server, server_environment(database))
    return server.url


@pytest.fixture
def chromium() -> str:
    return find_program("chromium", "chromium")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors, since tests wait for servers now and then."""
    return len(os.sched_getaffinity(0)) + 1 if sys.platform == "linux" else (os.cpu_count() or 1)


def pytest_report_header() -> str | None:
    return note_on_python(sys.version_info[:2])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for all that was skipped, naming what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
    if reasons:
        terminalreporter.write_line(f"Left out: {'; '.join(reasons)}")
