"""A cluster that loses its primary, or has none: 503, and service as soon as there is one."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.postgres.embedded import folders_with
from tests.databases import execute
from tests.factories import account_body, create_account
from tests.failures.conftest import (
    PATIENT,
    Cluster,
    assert_serves,
    assert_unavailable,
    client_for,
    environment_of,
)
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.slow

DATABASE = "satchel"


@pytest.fixture
def primary(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """One that is lost, so that it is not the one of other tests."""
    primary = Cluster(tmp_path / "one")
    primary.start()
    yield primary
    primary.stop()


@pytest.fixture
async def standby(primary: Cluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    await execute(primary.url, f"CREATE DATABASE {DATABASE}")
    standby = Cluster(tmp_path / "two")
    standby.home.mkdir(mode=0o700)
    programs = next(folders_with(("pg_basebackup",), None))
    command = (
        programs / "pg_basebackup",
        "--pgdata",
        standby.home / "data",
        "--write-recovery-conf",
    )
    source = ("--host", str(primary.url.query["host"]), "--port", "5432", "--username", "postgres")
    await asyncio.to_thread(
        subprocess.run, (*command, *source, "--checkpoint=fast"), check=True, timeout=60
    )
    await asyncio.to_thread(standby.start)
    yield standby
    await asyncio.to_thread(standby.stop)


def url_of(*hosts: str) -> URL:
    """With whatever is the primary."""
    query = {"host": hosts, "target_session_attrs": "read-write"}
    return URL.create("postgresql+asyncpg", "postgres", database=DATABASE, query=query)


def host_of(cluster: Cluster) -> str:
    return f"{cluster.url.query['host']}:5432"


async def test_it_serves_on_the_new_primary(
    primary: Cluster, standby: Cluster, start_server: Callable[..., Server]
) -> None:
    url = url_of(host_of(primary), host_of(standby))
    server = await asyncio.to_thread(start_server, environment_of(url), command=PATIENT)
    async with client_for(server) as client:
        account = await create_account(client)
        await replayed(primary, standby)
        primary.send(signal.SIGKILL)
        for _ in range(3):
            await assert_unavailable(client)
        await execute(standby.url, "SELECT pg_promote()")
        await assert_serves(client)
        assert (await client.get(f"/accounts/{account['id']}")).json() == account
    log = server.log.read_text()
    assert "request failed" not in log
    assert "database refuses" in log


async def replayed(primary: Cluster, standby: Cluster) -> None:
    """Return when the standby has all that the primary has."""
    position = await scalar(primary.url, "SELECT pg_current_wal_lsn()::text")

    async def caught_up() -> bool:
        return bool(
            await scalar(standby.url, f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")
        )

    await until(caught_up, "the standby does not follow")


async def scalar(url: URL, statement: str) -> object:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.scalar(text(statement))


async def test_without_a_primary_it_says_so(
    service: Server, database: URL, start_server: Callable[..., Server]
) -> None:
    """As in a cluster without a quorum: every host is read-only."""
    await asyncio.to_thread(service.stop)  # it has migrated the database
    alter = f'ALTER DATABASE "{database.database}"'
    await execute(database, f"{alter} SET default_transaction_read_only = on")
    url = database.update_query_dict({"target_session_attrs": "read-write"})
    environment = environment_of(url) | {"MIGRATE_ON_START": "false"}
    server = Server(environment, cwd=service.log.parent, command=PATIENT)
    try:
        await asyncio.to_thread(server.wait_until_answers, "/livez")
        async with client_for(server) as client:
            for _ in range(3):
                await assert_unavailable(client)
            keyed = await client.post(
                "/accounts", json=account_body(), headers={"Idempotency-Key": "k"}
            )
            assert keyed.json()["code"] == "database_unavailable"
            reset = f"{alter} RESET default_transaction_read_only"
            await execute(database, "SET default_transaction_read_only = off", reset)
            await assert_serves(client)
    finally:
        server.stop()
    log = server.log.read_text()
    assert "request failed" not in log
    assert log.count("database refuses") == log.count("TargetServerAttributeNotMatched") == 1


async def test_a_host_that_does_not_answer_costs_no_request_an_error(
    cluster: Cluster, database: URL, start_server: Callable[..., Server]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = [f"127.0.0.1:{silent.getsockname()[1]}", host_of(cluster)]
        url = database.set(query={"host": hosts, "target_session_attrs": "read-write"})
        server = await asyncio.to_thread(start_server, environment_of(url), command=PATIENT)
        async with client_for(server) as client:
            await assert_serves(client)
            answers = await asyncio.gather(*(ask(client) for _ in range(50)))
        server.stop()
    assert {answer.status_code for answer in answers} == {201}
    log = server.log.read_text()
    assert "database silent" not in log
    assert "database refuses" not in log


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/accounts", json=account_body())
