"""Lookups of API keys: cached for 30 seconds, shared between requests, and bounded."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Executable, Result
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.auth import key_lookup as module
from app.auth import keys as service
from app.auth.key_format import digest_of
from app.auth.key_lookup import KeyLookup
from app.auth.principals import SCOPES, Principal
from app.postgres import coalescing
from tests.databases import OneConnection
from tests.waiting import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted(OneConnection):
    """Counts statements. They can be held up or made to fail."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.batches: list[int] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.error: Exception | None = None

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        writes: bool = False,
    ) -> Result[Any]:
        assert parameters is not None
        self.batches.append(len(parameters["digests"]))
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return await super().execute(statement, parameters, writes=writes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookup(clock: Clock, counted: Counted) -> KeyLookup:
    return KeyLookup(lambda: counted, clock)


@pytest.fixture
def counted(connection: AsyncConnection) -> Counted:
    return Counted(connection)


@pytest.fixture
async def digest(session: AsyncSession) -> bytes:
    """The digest of a key named ci with the scope write."""
    key = await service.create_key(session, "testing", "ci", "write", None)
    return digest_of(key.secret.encode())


Find = Callable[[bytes], Any]


@pytest.fixture
def find(lookup: KeyLookup) -> Find:
    """Looks up as the guard does: in the cache first."""

    async def find(digest: bytes) -> Principal | None:
        return lookup.recall(digest) or await lookup.find(digest)

    return find


CI = Principal("key:ci", SCOPES["write"])


class TestCache:
    async def test_keeps_a_key_for_30_seconds(
        self, find: Find, digest: bytes, clock: Clock, counted: Counted
    ) -> None:
        assert await find(digest) == CI
        clock.now += 29.9
        assert await find(digest) == CI
        assert len(counted.batches) == 1
        clock.now += 0.1
        assert await find(digest) == CI
        assert len(counted.batches) == 2

    async def test_keeps_unknown_keys_too(self, find: Find, clock: Clock, counted: Counted) -> None:
        for _ in range(3):
            assert await find(bytes(32)) is None
        assert len(counted.batches) == 1
        clock.now += 30
        await find(bytes(32))
        assert len(counted.batches) == 2

    async def test_keeps_a_revoked_key_for_no_longer(
        self, find: Find, digest: bytes, clock: Clock, session: AsyncSession
    ) -> None:
        assert await find(digest) == CI
        await service.revoke_keys(session, "ci")
        clock.now += 30
        assert await find(digest) is None

    async def test_counts_time_from_before_the_statement(
        self, find: Find, digest: bytes, clock: Clock, counted: Counted
    ) -> None:
        counted.let_go.clear()
        finding = asyncio.create_task(find(digest))
        await until(lambda: counted.batches)
        clock.now += 20  # as long as the database took
        counted.let_go.set()
        assert await finding == CI
        clock.now += 10
        await find(digest)
        assert len(counted.batches) == 2

    async def test_keeps_no_expired_key(
        self, find: Find, clock: Clock, session: AsyncSession, lookup: KeyLookup
    ) -> None:
        expires = datetime.now(UTC) + timedelta(seconds=10)
        key = await service.create_key(session, "testing", "brief", "read", expires)
        digest = digest_of(key.secret.encode())
        assert await find(digest) is not None
        clock.now += 9
        assert lookup.recall(digest) is not None
        clock.now += 1
        assert lookup.recall(digest) is None

    async def test_is_bounded(
        self,
        monkeypatch: pytest.MonkeyPatch,
        connection: AsyncConnection,
        clock: Clock,
        digest: bytes,
    ) -> None:
        monkeypatch.setattr(module, "CACHE_SIZE", 50)
        lookup = KeyLookup(lambda: Counted(connection), clock)
        assert await lookup.find(digest) == CI
        for number in range(200):
            await lookup.find(number.to_bytes(32))
        assert len(lookup._unknown) == 50
        assert lookup.recall(digest) == CI  # unknown keys do not push it out


class TestSharing:
    async def test_requests_with_one_key_share_a_statement(
        self, find: Find, digest: bytes, counted: Counted
    ) -> None:
        assert await asyncio.gather(*(find(digest) for _ in range(50))) == [CI] * 50
        assert counted.batches == [1]

    async def test_what_a_statement_finds_is_not_looked_up_again(
        self, find: Find, digest: bytes, counted: Counted
    ) -> None:
        counted.let_go.clear()
        finding = [asyncio.create_task(find(digest))]
        await until(lambda: counted.batches)
        finding += [asyncio.create_task(find(digest)) for _ in range(9)]
        await asyncio.sleep(0)
        counted.let_go.set()
        assert await asyncio.gather(*finding) == [CI] * 10
        assert counted.batches == [1]

    async def test_many_keys_share_statements(
        self, find: Find, digest: bytes, counted: Counted
    ) -> None:
        keys = [number.to_bytes(32) for number in range(250)]
        counted.let_go.clear()
        finding = [asyncio.create_task(find(key)) for key in [*keys, digest]]
        await until(lambda: counted.batches)
        counted.let_go.set()
        assert await asyncio.gather(*finding) == [None] * 250 + [CI]
        assert counted.batches == [100, 100, 51]

    async def test_unknown_keys_take_one_connection_however_slow(
        self, find: Find, counted: Counted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coalescing, "SLOW_SECONDS", 0.001)
        counted.let_go.clear()
        finding = [asyncio.create_task(find(bytes(32)))]
        await until(lambda: counted.batches)
        finding += [asyncio.create_task(find(number.to_bytes(32))) for number in range(1, 50)]
        await asyncio.sleep(0.02)
        assert counted.batches == [1]
        counted.let_go.set()
        assert await asyncio.gather(*finding) == [None] * 50
        assert counted.batches == [1, 49]

    async def test_cancelling_a_request_does_not_cancel_others(
        self, find: Find, digest: bytes, counted: Counted
    ) -> None:
        counted.let_go.clear()
        first, second = (asyncio.create_task(find(digest)) for _ in range(2))
        await until(lambda: counted.batches)
        first.cancel()
        counted.let_go.set()
        assert await second == CI

    async def test_a_failure_reaches_all_and_is_not_cached(
        self, find: Find, digest: bytes, counted: Counted
    ) -> None:
        counted.error = OperationalError("x", {}, OSError())
        results = await asyncio.gather(*(find(digest) for _ in range(3)), return_exceptions=True)
        assert results == [counted.error] * 3
        counted.error = None
        assert await find(digest) == CI
        assert len(counted.batches) == 2


async def test_collects_the_used_keys(
    find: Find, digest: bytes, lookup: KeyLookup, session: AsyncSession
) -> None:
    await find(bytes(32))
    assert lookup.used == set()
    await find(digest)
    [key] = await service.list_keys(session)
    assert lookup.used == {key.id}
    lookup.used = set()
    await find(digest)
    assert lookup.used == {key.id}
