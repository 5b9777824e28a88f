"""The watchdog detects a silent database, and its return."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Self

import pytest
import structlog
from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool
from structlog.testing import capture_logs

from app.postgres import engine as engine_module
from app.postgres import loop_timeout as timeouts
from app.postgres import watchdog as module
from app.postgres.engine import make_engine
from app.postgres.failures import FAILURES
from app.postgres.watchdog import watchdog
from tests.applications import make_settings
from tests.busy_loop import busy_loop
from tests.databases import execute
from tests.servers import free_port
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


class Relay:
    """A proxy of a database that can hold back all data, or that of new connections."""

    def __init__(self, database: URL) -> None:
        self._socket = f"{database.query['host']}/.s.PGSQL.5432"
        self._flows = asyncio.Event()
        self._flows.set()
        self._serves = asyncio.Event()
        self._serves.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def hold(self) -> None:
        self._flows.clear()

    def hold_new(self) -> None:
        self._serves.clear()

    def release(self) -> None:
        self._flows.set()
        self._serves.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serves.wait()
        ours = await asyncio.open_unix_connection(self._socket)
        for source, target in ((reader, ours[1]), (ours[0], writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
        except OSError:
            pass
        finally:
            target.close()


@pytest.fixture
async def relay(database: URL) -> AsyncIterator[Relay]:
    if not database.query.get("host"):
        pytest.skip("the test's database has no unix socket: nothing to install")
    async with Relay(database) as relay:
        yield relay


class Watched(NamedTuple):
    """An engine with a watchdog, and the watchdog's verdicts so far."""

    engine: AsyncEngine
    silences: list[bool]

    async def concluded(self, times: int) -> None:
        """Return after so many more verdicts."""
        wanted = len(self.silences) + times
        await until(lambda: len(self.silences) >= wanted, "the watchdog has stopped")


@pytest.fixture
def watch_at(
    relay: Relay, database: URL, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractAsyncContextManager[Watched]]:
    """Run a watchdog with short timeouts, for the database behind the relay or at another URL. It
    watches other engines too.
    """
    monkeypatch.setattr(module, "PROBE_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(module, "PROBE_TIMEOUT_SECONDS", 0.8)
    monkeypatch.setattr(timeouts, "STEP_SECONDS", 0.008)
    monkeypatch.setattr(engine_module, "CONNECT_TIMEOUT_SECONDS", 0.8)
    monkeypatch.setattr(module, "log", structlog.get_logger("satchel.database"))
    silences: list[bool] = []
    conclude = module._Watchdog._conclude

    def record(self: module._Watchdog, *, silent: bool) -> None:
        silences.append(silent)
        conclude(self, silent=silent)

    monkeypatch.setattr(module._Watchdog, "_conclude", record)
    behind_relay = database.set(host="127.0.0.1", port=relay.port, query={})

    @asynccontextmanager
    async def watched(*others: AsyncEngine, url: URL = behind_relay) -> AsyncIterator[Watched]:
        engine, probe = (
            make_engine(url, make_settings(pool_size=size, statement_timeout=0), autocommit=True)
            for size in (5, 1)
        )
        async with watchdog([engine, *others], probe):
            yield Watched(engine, silences)
        relay.release()
        await engine.dispose()

    return watched


@pytest.fixture
async def watched(
    watch_at: Callable[[], AbstractAsyncContextManager[Watched]],
) -> AsyncIterator[Watched]:
    async with watch_at() as watched:
        yield watched


PID = text("SELECT pg_backend_pid()")


async def ask(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(text("SELECT 7"))).scalar_one()
    return found


def test_silence_is_detected_within_3_seconds_and_its_end_within_5() -> None:
    """The longest time for each step, if the event loop is not busy."""
    assert module.PROBE_INTERVAL_SECONDS + module.PROBE_TIMEOUT_SECONDS <= 3
    assert engine_module.CONNECT_TIMEOUT_SECONDS <= 3
    # The probe that is running when the database returns may never get a response.
    assert (
        max(module.PROBE_TIMEOUT_SECONDS, engine_module.CONNECT_TIMEOUT_SECONDS)
        + module.PROBE_INTERVAL_SECONDS
        <= 4
    )


async def test_silence_ends_waiting_statements_and_refuses_new_ones(
    watched: Watched, relay: Relay
) -> None:
    engine = watched.engine
    assert await ask(engine) == 7
    with capture_logs() as logs:
        relay.hold()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DBAPIError):  # on an open connection
                await ask(engine)
        for _ in range(20):
            with pytest.raises(ConnectionError, match="does not respond"):
                await ask(engine)
        await watched.concluded(2)  # the probe could not connect again
        assert set(watched.silences[-2:]) == {True}
        with pytest.raises(ConnectionError, match="does not respond"):
            await ask(engine)
        relay.release()
        await until(lambda: not watched.silences[-1], "its return is not detected")
        assert await ask(engine) == 7
    events = [log["event"] for log in logs]
    assert events == ["database silent", "database answers again"]


@pytest.fixture
def silent_when_connected(relay: Relay) -> Iterator[Callable[[], None]]:
    """After this call the relay holds back all data once a connection is made."""

    def hold(*_: object) -> None:
        relay.hold()

    yield lambda: event.listen(Pool, "connect", hold)
    event.remove(Pool, "connect", hold)


async def test_silence_is_detected_before_the_first_response(
    watch_at: Callable[[], AbstractAsyncContextManager[Watched]],
    silent_when_connected: Callable[[], None],
) -> None:
    """SQLAlchemy runs several statements on a new connection before the probe can use it."""
    silent_when_connected()
    async with watch_at() as watched:
        await watched.concluded(2)
        assert set(watched.silences) == {True}
        with pytest.raises(ConnectionError, match="does not respond"):
            await ask(watched.engine)


async def test_silence_ends_the_wait_for_the_first_connection(
    watched: Watched, silent_when_connected: Callable[[], None]
) -> None:
    await watched.concluded(1)
    silent_when_connected()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(FAILURES):
            await ask(watched.engine)


async def test_new_connections_time_out_too(watched: Watched, relay: Relay) -> None:
    relay.hold()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((TimeoutError, ConnectionError)):
            await ask(watched.engine)


async def test_good_connections_stay_while_new_ones_are_not_answered(
    watched: Watched, relay: Relay, database: URL
) -> None:
    async with watched.engine.connect() as good:
        pid = await good.scalar(PID)
        await watched.concluded(1)
        relay.hold_new()
        await execute(
            database,
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE"
            f" datname = current_database() AND application_name = 'satchel' AND pid <> {pid}",
        )
        await until(lambda: watched.silences[-1], "it is not noticed")
        with pytest.raises(ConnectionError, match="does not respond"):
            await ask(watched.engine)
        await watched.concluded(2)
        assert watched.silences[-1]
        assert await good.scalar(PID) == pid
        relay.release()
        await until(lambda: not watched.silences[-1], "its return is not detected")
        assert await good.scalar(PID) == pid
        assert await ask(watched.engine) == 7


async def test_silence_before_the_first_probe_ends_all_waiting_too(
    relay: Relay, database: URL, watch_at: Callable[..., AbstractAsyncContextManager[Watched]]
) -> None:
    other = make_engine(database, make_settings(statement_timeout=0), autocommit=True)
    relay.hold_new()
    async with watch_at(other) as watched, other.connect() as connection:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DBAPIError):
                await connection.execute(text(f"SELECT pg_sleep({PATIENCE})"))
        with pytest.raises(ConnectionError, match="does not respond"):
            await ask(watched.engine)
        relay.release()
        await until(lambda: not watched.silences[-1], "its return is not detected")
        assert await ask(watched.engine) == 7
    await other.dispose()


async def test_a_silent_host_costs_no_connection_to_another(
    relay: Relay, database: URL, watch_at: Callable[..., AbstractAsyncContextManager[Watched]]
) -> None:
    """As after a failover, while the last primary still does not answer."""
    engine = make_engine(database, make_settings(), autocommit=True)
    async with watch_at(engine) as watched, engine.connect() as good:
        pid = await good.scalar(PID)
        await watched.concluded(1)
        async with watched.engine.connect() as bad:
            relay.hold()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(DBAPIError):
                    await bad.scalar(PID)
        assert watched.silences[-1]
        assert await good.scalar(PID) == pid
    await engine.dispose()


async def test_a_host_that_does_not_answer_is_no_silence_of_the_next(
    relay: Relay, database: URL, watch_at: Callable[..., AbstractAsyncContextManager[Watched]]
) -> None:
    relay.hold()
    hosts = [f"127.0.0.1:{relay.port}", f"{database.query['host']}:5432"]
    url = database.set(query={"host": hosts})
    async with watch_at(url=url) as watched:
        await watched.concluded(3)
        assert await ask(watched.engine) == 7
        assert True not in watched.silences


async def test_refusals_are_logged_once(monkeypatch: pytest.MonkeyPatch, database: URL) -> None:
    monkeypatch.setattr(module, "PROBE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(module, "log", structlog.get_logger("satchel.database"))
    name = f'"{database.database}"'
    server = database.set(database="postgres")
    engine, probe = (make_engine(database, make_settings(), autocommit=True) for _ in range(2))
    probes = 0

    def count(*_: object) -> None:
        nonlocal probes
        probes += 1

    event.listen(probe.sync_engine, "do_connect", count)
    with capture_logs() as logs:
        async with watchdog([engine], probe):
            await until(lambda: probes == 1)
            await execute(
                server,
                f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                f" WHERE datname = '{database.database}'",
            )
            await until(lambda: probes >= 4, "it has stopped")
            await execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await until(lambda: logs and logs[-1]["event"] == "database answers again")
    await engine.dispose()
    refusals = [log for log in logs if log["event"] == "database refuses"]
    assert refusals[-1] == {
        "event": "database refuses",
        "server": "primary",
        "error": "ObjectNotInPrerequisiteStateError",
        "log_level": "warning",
    }
    assert len(refusals) <= 2  # the first may be that its connection was ended


async def test_a_pause_shorter_than_the_timeout_is_not_silence(
    watched: Watched, relay: Relay
) -> None:
    relay.hold()
    asked = asyncio.create_task(ask(watched.engine))
    await asyncio.sleep(0.2)
    relay.release()
    assert await asked == 7
    await watched.concluded(1)
    assert True not in watched.silences


async def test_a_pause_of_this_process_is_not_silence(watched: Watched) -> None:
    async with watched.engine.connect() as connection:
        await watched.concluded(1)
        for _ in range(3):
            time.sleep(1)  # blocks the whole process
            await asyncio.sleep(0)
        await watched.concluded(1)
        assert (await connection.execute(text("SELECT 7"))).scalar_one() == 7
    assert True not in watched.silences


async def test_a_busy_loop_is_not_silence(
    watch_at: Callable[[], AbstractAsyncContextManager[Watched]],
) -> None:
    """A response takes several turns and a connection dozens, longer than the timeout."""
    with busy_loop(0.05):
        async with watch_at() as watched:
            await watched.concluded(1)
            async with watched.engine.connect() as connection:
                await watched.concluded(2)
                assert (await connection.execute(text("SELECT 7"))).scalar_one() == 7
            assert True not in watched.silences


async def test_silence_is_detected_while_the_loop_is_busy(watched: Watched, relay: Relay) -> None:
    assert await ask(watched.engine) == 7
    with busy_loop(0.02):
        relay.hold()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DBAPIError):
                await ask(watched.engine)
        with pytest.raises(ConnectionError, match="does not respond"):
            await ask(watched.engine)


async def test_a_refusal_is_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_INTERVAL_SECONDS", 0.01)
    away = URL.create("postgresql+asyncpg", "me", "x", "127.0.0.1", free_port(), "d")
    engine, probe = (make_engine(away, make_settings(), autocommit=True) for _ in range(2))
    refused = asyncio.Event()
    event.listen(probe.sync_engine, "do_connect", lambda *_: refused.set())
    async with watchdog([engine], probe):
        for _ in range(2):  # the second probe starts after the first verdict
            refused.clear()
            await refused.wait()
        with pytest.raises(ConnectionRefusedError):  # from the operating system, not the watchdog
            await ask(engine)


async def test_an_invalid_response_is_a_response(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, from a proxy with another protocol. The watchdog continues."""
    monkeypatch.setattr(module, "PROBE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(module, "log", structlog.get_logger("satchel.database"))
    engine, probe = (make_engine(database, make_settings(), autocommit=True) for _ in range(2))

    babbled = 0

    def babble(*_: object) -> None:
        nonlocal babbled
        babbled += 1
        raise UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "no text")

    event.listen(probe.sync_engine, "do_connect", babble)
    with capture_logs() as logs:
        async with watchdog([engine], probe):
            await until(lambda: babbled >= 3, "the watchdog has stopped")
            assert await ask(engine) == 7
    await engine.dispose()
    assert len(logs) > 1
    assert logs[0] == {
        "event": "probe failed",
        "error": "UnicodeDecodeError",
        "log_level": "warning",
    }
