"""Leaving: who was let in is answered, balancers are told in time, and nothing stays behind."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import URL

from tests.conftest import Server, execute, server_environment
from tests.factories import account_body
from tests.load import get, load_on, post

pytestmark = pytest.mark.slow

Start = Callable[..., Server]


def new_account() -> bytes:
    return post("/accounts", json.dumps(account_body()).encode())


async def wait_for_leaving(server: Server, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while (status := server.process.poll()) is None:
        assert time.monotonic() < deadline, "it does not leave"
        await asyncio.sleep(0.02)
    return status


def group_of(pid: int) -> list[int]:
    """The processes of a process group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, group, *_ = path.read_text().rpartition(") ")[2].split()
            if int(group) == pid and state not in "ZX":
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("delay", ["0", "1.5"])
async def test_under_load_no_request_is_lost(
    database: URL, start_server: Start, workers: str, delay: str
) -> None:
    environment = {**server_environment(database), "SHUTDOWN_DELAY": delay}
    server = await asyncio.to_thread(start_server, environment, "--workers", workers)
    async with load_on(server.port, get("/accounts?limit=1"), new_account, clients=6) as load:
        await asyncio.sleep(1)
        assert load.statuses.total() > 20
        assert not load.refused
        server.process.send_signal(signal.SIGTERM)
        if float(delay):
            await asyncio.sleep(0.5)
            async with httpx2.AsyncClient(base_url=server.url) as client:
                ready = await client.get("/readyz")
                assert ready.status_code == 503
                assert ready.json() == {"status": "fail", "checks": {"draining": "fail"}}
                assert ready.headers["connection"] == "close"
                assert (await client.get("/livez")).status_code == 200
                assert (await client.get("/accounts")).status_code == 200
            assert not load.refused
        assert await wait_for_leaving(server, float(delay) + 8) == 0
        await asyncio.sleep(0.1)
    assert load.lost == []
    assert load.statuses.keys() == {200, 201}
    assert load.refused
    assert load.closed
    assert group_of(server.process.pid) == []


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_statement_under_way_is_waited_for(
    database: URL, start_server: Start, workers: str
) -> None:
    server = await asyncio.to_thread(
        start_server, server_environment(database), "--workers", workers
    )
    await execute(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    async with httpx2.AsyncClient(base_url=server.url) as client:
        asked = asyncio.create_task(client.post("/accounts", json=account_body()))
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert (await asked).status_code == 201
    assert await wait_for_leaving(server, 5) == 0


async def test_what_outlasts_the_grace_is_cut_off_and_the_exit_is_clean(
    database: URL, start_server: Start
) -> None:
    environment = {**server_environment(database), "SHUTDOWN_GRACE": "1"}
    server = await asyncio.to_thread(start_server, environment)
    await execute(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(4); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    async with httpx2.AsyncClient(base_url=server.url) as client:
        asked = asyncio.create_task(client.post("/accounts", json=account_body()))
        await asyncio.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert await wait_for_leaving(server, 8) == 0
        assert time.monotonic() - started < 4
        answer = await asked
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_signal_ends_the_delay_and_an_echo_does_not(
    database: URL, start_server: Start, workers: str
) -> None:
    environment = {**server_environment(database), "SHUTDOWN_DELAY": "60"}
    server = await asyncio.to_thread(start_server, environment, "--workers", workers)
    for _ in range(2):  # a terminal's signal, passed on by who started us
        server.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
    await asyncio.sleep(1)
    assert httpx2.get(f"{server.url}/livez").status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert await wait_for_leaving(server, 5) == 0


async def test_a_second_signal_ends_the_wait_for_answers(
    database: URL, start_server: Start
) -> None:
    environment = {**server_environment(database), "SHUTDOWN_GRACE": "60"}
    server = await asyncio.to_thread(start_server, environment)
    head = b"POST /accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.sendall(head + b"Content-Length: 9\r\n\r\n{")
        await asyncio.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(1.5)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert await wait_for_leaving(server, 5) == 0


async def test_a_request_that_is_on_its_way_is_answered(database: URL, start_server: Start) -> None:
    server = await asyncio.to_thread(start_server, server_environment(database))
    fresh = await asyncio.open_connection("127.0.0.1", server.port)
    kept = await asyncio.open_connection("127.0.0.1", server.port)
    kept[1].write(get("/livez"))
    assert b"connection: close" not in await kept[0].readuntil(b"}")
    server.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    for reader, writer in (fresh, kept):
        writer.write(get("/livez"))
        answer = await reader.read()  # to the end: the connection is closed
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        writer.close()
    assert await wait_for_leaving(server, 5) == 0
