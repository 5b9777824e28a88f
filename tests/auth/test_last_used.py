"""Last use of API keys: recorded once a minute at most, in the background."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from structlog.testing import capture_logs

from app.auth import keys as service
from app.auth import last_used as last_used_module
from app.auth.key_lookup import KeyLookup
from app.auth.last_used import write_uses, writing_uses
from app.errors import Overloaded
from app.postgres.sessions import request_session
from tests.applications import running_app
from tests.databases import OneConnection
from tests.waiting import PATIENCE


@pytest.fixture
async def lookup(session: AsyncSession, connection: AsyncConnection) -> KeyLookup:
    """A lookup of a process in which a key was just used."""
    await service.create_key(session, "testing", "ci", "read", None)
    lookup = KeyLookup(lambda: OneConnection(connection))
    lookup.used = {(await service.list_keys(session))[0].id}
    return lookup


async def last_used(session: AsyncSession) -> datetime | None:
    instant: datetime | None = (await service.list_keys(session))[0].last_used
    return instant


async def test_are_written_once_a_minute_by_all_processes_together(
    lookup: KeyLookup, session: AsyncSession, connection: AsyncConnection, statements: list[str]
) -> None:
    database, ids = OneConnection(connection), set(lookup.used)
    assert await last_used(session) is None
    await write_uses(lookup, database)
    first = await last_used(session)
    assert first is not None
    assert lookup.used == set()
    lookup.used = set(ids)
    await write_uses(lookup, database)  # by another process, or too early
    assert await last_used(session) == first
    await session.execute(text("UPDATE api_keys SET last_used = last_used - interval '1 minute'"))
    lookup.used = set(ids)
    await write_uses(lookup, database)
    again = await last_used(session)
    assert again is not None
    assert again >= first
    statements.clear()
    await write_uses(lookup, database)
    assert statements == []


class Broken(OneConnection):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def execute(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ConnectionRefusedError(), Overloaded()])
async def test_are_kept_when_the_database_fails(lookup: KeyLookup, error: Exception) -> None:
    ids = set(lookup.used)
    with capture_logs() as logs:
        await write_uses(lookup, Broken(error))
    assert lookup.used == ids
    assert [(line["event"], line["error"]) for line in logs] == [
        ("uses of keys not written", type(error).__name__)
    ]


async def test_are_written_periodically_and_at_the_end(
    lookup: KeyLookup, session: AsyncSession, connection: AsyncConnection
) -> None:
    ids = set(lookup.used)
    written = asyncio.Event()

    class Recording(OneConnection):
        async def execute(self, *arguments: Any, **options: Any) -> Any:
            result = await super().execute(*arguments, **options)
            written.set()
            return result

    async with asyncio.timeout(PATIENCE), writing_uses(lookup, Recording(connection), 0.001):
        await written.wait()
    assert await last_used(session) is not None
    await session.execute(text("UPDATE api_keys SET last_used = NULL"))
    async with writing_uses(lookup, OneConnection(connection)):
        lookup.used = ids
    assert await last_used(session) is not None


async def test_do_not_hold_up_the_shutdown(
    lookup: KeyLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(OneConnection):
        def __init__(self) -> None: ...

        async def execute(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    assert last_used_module.SHUTDOWN_TIMEOUT_SECONDS == 2
    monkeypatch.setattr(last_used_module, "SHUTDOWN_TIMEOUT_SECONDS", 0.01)
    async with asyncio.timeout(PATIENCE), writing_uses(lookup, Hanging()):
        pass


async def test_are_written_by_the_application(database: URL) -> None:
    async with running_app(database) as application:
        async with request_session(application.state.statements) as session:
            await service.create_key(session, "testing", "ci", "read", None)
            [key] = await service.list_keys(session)
        application.state.key_lookup.used.add(key.id)
    async with (
        running_app(database) as application,
        request_session(application.state.statements) as session,
    ):
        assert await last_used(session) is not None
