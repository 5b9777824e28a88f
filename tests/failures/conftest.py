"""A PostgreSQL that tests may stop, kill and freeze, and a service on a database of it."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.postgres.embedded import embedded_postgres
from tests.databases import execute
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE, until


class Cluster:
    """A server of PostgreSQL with its data on disk and all that makes them durable."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        self.url = make_url(self._running.enter_context(embedded_postgres(self.home)))

    def stop(self) -> None:
        self._running.close()

    def processes(self) -> list[int]:
        """The server and its children, it first."""
        server = int((self.home / "data/postmaster.pid").read_text().split()[0])
        found = [server]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int(path.read_text().rpartition(") ")[2].split()[1]) == server:
                    found.append(int(path.parent.name))
        return found

    def send(self, number: int) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill the server and start it again."""
        self.send(signal.SIGKILL)
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It thaws when the block ends, and when we are killed: a process waits for our end."""
        pids = " ".join(map(str, self.processes()))
        thaw = ["sh", "-c", f"read line; kill -CONT {pids}"]
        with subprocess.Popen(thaw, stdin=subprocess.PIPE, env={}, start_new_session=True):
            self.send(signal.SIGSTOP)
            yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not Path("/proc/self/stat").exists():
        pytest.skip("looks for processes in /proc")
    cluster = Cluster(tmp_path_factory.mktemp("faults") / "pg")
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[URL]:
    """An empty database, which the service migrates."""
    name = f"satchel_test_{secrets.token_hex(6)}"
    await execute(cluster.url, f'CREATE DATABASE "{name}"')
    yield cluster.url.set(database=name)
    await execute(cluster.url, f'DROP DATABASE "{name}" WITH (FORCE)')


# A service that refuses nobody because the machine is slow: who waits for a connection, waits.
_PATIENCE = f"from app.postgres import connection_queue as q; q.POOL_WAIT_SECONDS = {PATIENCE}"
PATIENT = ("-c", f"{_PATIENCE}; from app.cli.commands import main; main()", "serve")


def environment_of(database: URL) -> dict[str, str]:
    """Of a service that closes no connection of ours while the machine lets us idle."""
    return {**server_environment(database), "KEEP_ALIVE_TIMEOUT": "3600"}


@pytest.fixture
async def service(database: URL, start_server: Callable[..., Server]) -> Server:
    server: Server = await asyncio.to_thread(
        start_server, environment_of(database), command=PATIENT
    )
    return server


@pytest.fixture
async def client(service: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(service) as client:
        yield client


def client_for(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=PATIENCE)


async def terminate_backends(database: URL) -> int:
    """End all connections to it, and return how many there were when they are gone."""
    engine = create_async_engine(database.set(database="postgres"), poolclass=NullPool)
    async with engine.connect() as connection:
        ended = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = :d"
            ),
            {"d": database.database},
        )
        return len(ended.all())


async def heard(client: httpx.AsyncClient) -> None:
    """Return when the service has read what came for it before: it reads everything in turn."""
    for _ in range(3):
        assert (await client.get("/livez")).status_code == 200


async def assert_unavailable(client: httpx.AsyncClient) -> None:
    """Reads and writes are told so, the process lives and is not ready."""
    asked = [
        client.get("/accounts"),
        client.get("/accounts/019b0000-0000-7000-8000-000000000000"),
        client.get("/accounts?count=exact"),
        client.get("/accounts:export"),
        client.post("/accounts", json={"email": "ada@example.com", "username": "ada"}),
        client.delete("/accounts/019b0000-0000-7000-8000-000000000000?cascade=true"),
    ]
    *answers, livez = await asyncio.gather(*asked, client.get("/livez"))
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["code"] == "database_unavailable"
        assert int(answer.headers["retry-after"]) > 0
    assert livez.status_code == 200

    async def fails() -> bool:  # it may have looked while the database was there
        readyz = await client.get("/readyz")
        return readyz.status_code == 503 and readyz.json()["checks"]["database"] == "fail"

    await until(fails, "it does not say that the database is away")


async def assert_serves(client: httpx.AsyncClient) -> None:
    """It gets ready, and from then on every request succeeds."""

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await until(ready, "it does not come back")
    body = {"username": "ada"}
    for number in range(5):
        answers = await asyncio.gather(
            *(client.get("/accounts") for _ in range(20)),
            client.get("/accounts?count=exact"),
            client.post(
                "/accounts",
                json={**body, "email": f"{secrets.token_hex(8)}@example.com"},
                headers={"Idempotency-Key": secrets.token_hex(8)} if number % 2 else {},
            ),
        )
        assert {answer.status_code for answer in answers} <= {200, 201}
