"""A database that says nothing at all is noticed, and so is its return."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Self

import pytest
import structlog
from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.database import watch
from app.database.engine import make_engine
from app.database.watch import watching
from tests.conftest import free_port, make_settings

pytestmark = pytest.mark.slow


class Relay:
    """Passes bytes on to a database, until it holds them back."""

    def __init__(self, database: URL) -> None:
        self._socket = f"{database.query['host']}/.s.PGSQL.5432"
        self._flows = asyncio.Event()
        self._flows.set()
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

    def release(self) -> None:
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


@pytest.fixture
async def engine(
    relay: Relay, database: URL, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncEngine]:
    """An engine that is watched, with little patience."""
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    monkeypatch.setattr(watch, "PATIENCE", 0.8)
    url = database.set(host="127.0.0.1", port=relay.port, query={})
    engine, probe = (
        make_engine(url, make_settings(pool_size=size), autocommit=True) for size in (5, 1)
    )
    async with watching(engine, probe):
        yield engine
    relay.release()
    await engine.dispose()


async def ask(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(text("SELECT 7"))).scalar_one()
    return found


async def test_silence_ends_what_waits_and_refuses_who_comes(
    engine: AsyncEngine, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "log", structlog.get_logger("satchel.database"))
    assert await ask(engine) == 7
    with capture_logs() as logs:
        relay.hold()
        started = time.monotonic()
        with pytest.raises(DBAPIError):  # a connection that is there
            await ask(engine)
        assert time.monotonic() - started < 3
        for _ in range(20):
            with pytest.raises(ConnectionError):
                await ask(engine)
        assert time.monotonic() - started < 4
        await asyncio.sleep(3)  # longer than a connection may take to be made
        with pytest.raises(ConnectionError):
            await ask(engine)
        relay.release()
        async with asyncio.timeout(4):
            while True:
                try:
                    assert await ask(engine) == 7
                    break
                except (OSError, DBAPIError):
                    await asyncio.sleep(0.05)
    told = [log["event"] for log in logs]
    assert told[:2] == ["database silent", "database answers again"]


async def test_a_pause_shorter_than_its_patience_is_nothing(
    engine: AsyncEngine, relay: Relay
) -> None:
    relay.hold()
    asked = asyncio.create_task(ask(engine))
    await asyncio.sleep(0.2)
    relay.release()
    assert await asked == 7


async def test_a_pause_of_our_own_is_no_silence(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await asyncio.sleep(0.1)
        for _ in range(3):
            time.sleep(1)  # nothing runs in this process meanwhile
            await asyncio.sleep(0)
        assert (await connection.execute(text("SELECT 7"))).scalar_one() == 7


async def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.01)
    away = URL.create("postgresql+asyncpg", "me", "x", "127.0.0.1", free_port(), "d")
    engine, probe = (make_engine(away, make_settings(), autocommit=True) for _ in range(2))
    async with watching(engine, probe):
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):  # the system's, not ours
            await ask(engine)


async def test_an_answer_that_makes_no_sense_is_one(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a proxy that speaks another protocol: what matters is that the watch goes on."""
    monkeypatch.setattr(watch, "INTERVAL", 0.01)
    monkeypatch.setattr(watch, "log", structlog.get_logger("satchel.database"))
    engine, probe = (make_engine(database, make_settings(), autocommit=True) for _ in range(2))

    def babble(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "no text")

    event.listen(probe.sync_engine, "do_connect", babble)
    with capture_logs() as logs:
        async with watching(engine, probe):
            await asyncio.sleep(0.2)
            assert await ask(engine) == 7
    await engine.dispose()
    assert len(logs) > 1
    assert logs[0] == {
        "event": "probe failed",
        "error": "UnicodeDecodeError",
        "log_level": "warning",
    }
