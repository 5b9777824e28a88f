"""Graceful shutdown: all accepted requests get a response, and no process is left."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import uvicorn
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.types import Receive, Scope, Send
from uvicorn.lifespan.off import LifespanOff

from app.serving import draining
from app.serving.draining import DrainingServer
from tests.factories import account_body
from tests.load import get, load_on, post
from tests.locks import held_up
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("measured")]

Start = Callable[..., Awaitable[Server]]

# Longer than any test, so that no wait ends by itself.
DELAY, GRACE, IDLE_GRACE, LONG = 300, 299, 298, 3600.0
LONG_TIMEOUTS = {
    "SHUTDOWN_GRACE": str(GRACE),
    "STATEMENT_TIMEOUT": "3600",
    "LOCK_TIMEOUT": "3600",
    "POOL_SIZE": "20",
}
# A server with changed constants in each of its processes, which reports each of its steps.
PROGRAM = """
import sys
from app.cli.commands import main
from app.serving import draining

vars(draining).update({constants})
server = draining.DrainingServer
handle_exit, main_loop, wait_while = server.handle_exit, server.main_loop, server._wait_while

def report(what):
    sys.stderr.write(what + chr(10))

def reporting_handle_exit(self, *arguments):
    handle_exit(self, *arguments)
    report("signalled")

async def reporting_main_loop(self):
    report("serves")
    await main_loop(self)

async def reporting_wait_while(self, condition, seconds):
    begun = []
    def reporting_condition():
        if not begun:
            begun.append(report(f"waits for {{seconds:.0f}} s"))
        return condition()
    await wait_while(self, reporting_condition, seconds)

server.handle_exit = reporting_handle_exit
server.main_loop = reporting_main_loop
server._wait_while = reporting_wait_while
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def start(database: URL, tmp_path: Path) -> Iterator[Start]:
    """Start a server with these constants in `app.serving.draining`; wait for all its workers."""
    servers: list[Server] = []

    async def start(environment: dict[str, str], workers: str = "1", **constants: float) -> Server:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.format(constants={"CANCEL_TIMEOUT_SECONDS": LONG, **constants}))
        environment = {**server_environment(database), **LONG_TIMEOUTS, **environment}
        command = (str(program), "serve")
        servers.append(Server(environment, "--workers", workers, cwd=tmp_path, command=command))
        await reported(servers[-1], "serves", int(workers))
        await asyncio.to_thread(servers[-1].wait_until_ready)
        return servers[-1]

    yield start
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


async def reported(server: Server, what: str, times: int = 1) -> None:
    """Return once the processes have reported this so often."""
    await until(lambda: server.log.read_text().count(f"{what}\n") >= times, f"not reported: {what}")


async def exit_status(server: Server) -> int:
    """The exit status, once the server has ended."""
    await until(lambda: server.process.poll() is not None, "it does not exit")
    return server.process.wait()


def new_account() -> bytes:
    return post("/accounts", json.dumps(account_body()).encode())


def group_of(pid: int) -> list[int]:
    """The running processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, group, *_ = path.read_text().rpartition(") ")[2].split()
            if int(group) == pid and state not in "ZX":
                found.append(int(path.parent.name))
    return found


@contextlib.asynccontextmanager
async def held_account(database: URL, server: Server) -> Any:
    """A request in flight whose statement waits until the end of the block."""
    engine = create_async_engine(database)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client,
        engine.connect() as other,
    ):
        await other.execute(text("LOCK TABLE accounts"))
        asked = asyncio.create_task(client.post("/accounts", json=account_body()))
        await held_up(database)
        yield asked
        await other.rollback()
        await asked
    await engine.dispose()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("delay", [0, DELAY])
async def test_under_load_no_request_is_lost(start: Start, workers: str, delay: int) -> None:
    server = await start(
        {"SHUTDOWN_DELAY": str(delay)},
        workers,
        SIGNAL_ECHO_SECONDS=0,
        IDLE_GRACE_SECONDS=IDLE_GRACE,
    )
    async with load_on(server.port, get("/accounts?limit=1"), new_account, clients=6) as load:
        await until(lambda: load.statuses.total() > 20)
        assert not load.refused
        server.process.send_signal(signal.SIGTERM)
        if delay:
            await reported(server, f"waits for {DELAY} s", int(workers))
            async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
                ready = await client.get("/readyz")
                assert ready.status_code == 503
                assert ready.json() == {"status": "fail", "checks": {"draining": "fail"}}
                assert ready.headers["connection"] == "close"
                assert (await client.get("/livez")).status_code == 200
                assert (await client.get("/accounts")).status_code == 200
            assert not load.refused
            server.process.send_signal(signal.SIGTERM)  # it ends the delay
        assert await exit_status(server) == 0
        await until(lambda: load.refused)
    assert load.lost == []
    assert load.statuses.keys() == {200, 201}
    assert load.closed
    await until(lambda: group_of(server.process.pid) == [])


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_server_waits_for_a_running_statement(
    database: URL, start: Start, workers: str
) -> None:
    server = await start({}, workers)
    async with held_account(database, server) as asked:
        server.process.send_signal(signal.SIGTERM)
        await reported(server, f"waits for {GRACE} s", int(workers))
    assert (await asked).status_code == 201
    assert await exit_status(server) == 0


async def test_requests_beyond_the_grace_get_503_and_the_exit_is_clean(
    database: URL, start: Start
) -> None:
    server = await start({"SHUTDOWN_GRACE": "1"})
    async with held_account(database, server) as asked:
        server.process.send_signal(signal.SIGTERM)
        answer = await asked
        assert await exit_status(server) == 0
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_repeated_signal_within_a_second_is_ignored(start: Start, workers: str) -> None:
    """The terminal sends it to all processes, and the parent passes it on."""
    server = await start({"SHUTDOWN_DELAY": str(DELAY)}, workers, SIGNAL_ECHO_SECONDS=LONG)
    server.process.send_signal(signal.SIGINT)
    await reported(server, f"waits for {DELAY} s", int(workers))
    server.process.send_signal(signal.SIGINT)
    await reported(server, "signalled", 2 * int(workers))
    for _ in range(20):
        assert httpx.get(f"{server.url}/livez", timeout=PATIENCE).status_code == 200
        await asyncio.sleep(0.05)
    assert server.process.poll() is None


BODY = json.dumps(account_body()).encode()


@contextlib.contextmanager
def half_sent(server: Server) -> Iterator[socket.socket]:
    """A connection with a request in flight; only the first byte of its body is sent."""
    head = b"POST /accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert client.recv(99).startswith(b"HTTP/1.1 100 ")
        client.sendall(BODY[:1])
        yield client


async def test_the_server_waits_for_a_body(start: Start) -> None:
    server = await start({})
    with half_sent(server) as slow:
        server.process.send_signal(signal.SIGTERM)
        await reported(server, f"waits for {GRACE} s")
        slow.sendall(BODY[1:])
        assert slow.recv(999).startswith(b"HTTP/1.1 201 ")
        assert await exit_status(server) == 0


async def test_the_wait_for_a_body_ends_with_the_grace(start: Start) -> None:
    server = await start({"SHUTDOWN_GRACE": "1"})
    with half_sent(server):
        server.process.send_signal(signal.SIGTERM)
        assert await exit_status(server) == 0


async def test_a_second_signal_ends_the_wait_for_responses(start: Start) -> None:
    server = await start({}, SIGNAL_ECHO_SECONDS=0, IDLE_GRACE_SECONDS=0)
    with half_sent(server):
        server.process.send_signal(signal.SIGTERM)
        await reported(server, f"waits for {GRACE} s")
        await asyncio.sleep(0.5)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert await exit_status(server) == 0


async def test_a_request_that_arrives_during_shutdown_is_answered(start: Start) -> None:
    server = await start({}, IDLE_GRACE_SECONDS=IDLE_GRACE)
    fresh = await asyncio.open_connection("127.0.0.1", server.port)
    kept = await asyncio.open_connection("127.0.0.1", server.port)
    kept[1].write(get("/livez"))
    assert b"connection: close" not in await kept[0].readuntil(b"}")
    server.process.send_signal(signal.SIGTERM)
    await reported(server, f"waits for {IDLE_GRACE} s")
    for reader, writer in (fresh, kept):
        writer.write(get("/livez"))
        answer = await asyncio.wait_for(reader.read(), PATIENCE)  # until the server closes it
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        writer.close()
    assert await exit_status(server) == 0


async def answer_no_content(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_after_a_signal_during_startup_each_response_closes_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else clients would keep using the connection of a worker that started last."""
    monkeypatch.setattr(draining, "IDLE_GRACE_SECONDS", LONG)

    config = uvicorn.Config(answer_no_content, lifespan="off", log_config=None)
    server = DrainingServer(config, delay=0, grace=GRACE)
    server.handle_exit(signal.SIGTERM, None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(get("/"))
        serving = asyncio.create_task(server._serve([listener]))
        async with asyncio.timeout(PATIENCE):
            assert b"\r\nconnection: close\r\n" in await reader.readuntil(b"\r\n\r\n")
            await serving
    writer.close()


class TestClosing:
    """What a server accepted before it closed its socket is answered; the rest is refused."""

    @pytest.fixture
    def server(self) -> DrainingServer:
        config = uvicorn.Config(answer_no_content, lifespan="off", log_config=None)
        config.load()
        server = DrainingServer(config, delay=0, grace=GRACE)
        server.lifespan = config.lifespan_class(config)
        return server

    @pytest.fixture
    def client(self) -> Iterator[socket.socket]:
        with socket.socket() as client:
            client.settimeout(PATIENCE)
            yield client

    @pytest.mark.parametrize("turns", range(6))
    async def test_a_connection_that_is_being_accepted_is_answered(
        self, server: DrainingServer, client: socket.socket, turns: int
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await server.startup([listener])
            client.connect(listener.getsockname())
            client.sendall(get("/"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.shutdown([listener])
        assert server.server_state.total_requests == 1
        assert client.recv(99).startswith(b"HTTP/1.1 204 ")

    async def test_a_connection_in_a_backlog_that_cannot_be_filled_is_answered(
        self, server: DrainingServer, client: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(draining, "_plug", lambda _: False)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await server.startup([listener])
            client.connect(listener.getsockname())
            client.sendall(get("/"))
            await server.shutdown([listener])
        assert client.recv(99).startswith(b"HTTP/1.1 204 ")

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems keep a longer backlog")
    async def test_a_connection_between_the_last_accept_and_the_close_is_refused_not_reset(
        self, server: DrainingServer, client: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plug = draining._plug
        connected = []

        def plug_late(listener: socket.socket) -> bool:
            """One client fills the backlog, and must be answered; one comes when it is plugged."""
            early = socket.create_connection(listener.getsockname(), PATIENCE)
            early.sendall(get("/"))
            connected.append(early)
            monkeypatch.setattr(draining, "_plug", plugged)
            return plug(listener)

        def plugged(listener: socket.socket) -> bool:
            done = plug(listener)
            assert done
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            return done

        monkeypatch.setattr(draining, "_plug", plug_late)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await server.startup([listener])
            await server.shutdown([listener])
        assert connected[0].recv(99).startswith(b"HTTP/1.1 204 ")
        connected[0].close()
        client.settimeout(PATIENCE)
        with pytest.raises(ConnectionRefusedError):
            client.sendall(get("/"))
            client.recv(99)


class TestTimes:
    """On a clock that only advances while the server sleeps."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        clock = SimpleNamespace(now=1000.0, tick=lambda: None)
        sleep = asyncio.sleep

        async def pass_time(seconds: float) -> None:
            clock.now += seconds
            clock.tick()
            await sleep(0)

        monkeypatch.setattr(draining, "time", SimpleNamespace(monotonic=lambda: clock.now))
        monkeypatch.setattr(asyncio, "sleep", pass_time)
        return clock

    @pytest.fixture
    def server(self) -> DrainingServer:
        config = uvicorn.Config("nowhere", lifespan="off", log_config=None)
        server = DrainingServer(config, delay=15, grace=10)
        server.lifespan = LifespanOff(config)
        return server

    async def test_it_keeps_serving_for_the_delay(self, clock: Any, server: DrainingServer) -> None:
        server.handle_exit(signal.SIGTERM, None)
        await server.main_loop()
        assert 1015 <= clock.now < 1015.1

    @pytest.mark.parametrize(("after", "ends"), [(0.9, 1015), (1.1, 1001.1), (7, 1007)])
    async def test_a_signal_after_more_than_a_second_counts(
        self, clock: Any, server: DrainingServer, after: float, ends: float
    ) -> None:
        signals = [signal.SIGTERM]

        def tick() -> None:
            if signals and clock.now >= 1000 + after:
                server.handle_exit(signals.pop(), None)

        server.handle_exit(signal.SIGTERM, None)
        clock.tick = tick
        await server.main_loop()
        assert ends <= clock.now < ends + 0.1

    async def test_idle_connections_and_requests_have_their_grace(
        self, clock: Any, server: DrainingServer
    ) -> None:
        closed: list[float] = []
        state = server.server_state

        class Idle:
            def shutdown(self) -> None:
                closed.append(clock.now)
                state.connections.clear()

        async def hang() -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        state.connections.add(cast(Any, Idle()))
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)
        server.servers = []
        await server.shutdown([])
        assert task.cancelled()
        assert closed == [pytest.approx(1000.5, abs=0.1)]
        assert 1010.5 <= clock.now < 1011
