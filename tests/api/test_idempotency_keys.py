"""Claims of idempotency keys and their sweep, on connections of their own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.api import idempotency_keys as idempotency
from app.api.idempotency_keys import Attempt, StoredResponse, claim, keep, sweep
from app.errors import IdempotencyInFlight, IdempotencyKeyReused
from tests.databases import execute
from tests.locks import held_up
from tests.waiting import PATIENCE

FIELDS, OTHERS = b"\x01fields", b"\x01others"
ATTEMPT = Attempt("anonymous", "/accounts", "one request", FIELDS)
ANSWER = StoredResponse(
    201, {"etag": '"1"', "location": "/accounts/1"}, b'{"name": "Gr\xc3\xb6\xc3\x9fe"}'
)
EXPIRE = "UPDATE idempotency_keys SET expires = clock_timestamp()"


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    # Each statement sees what was committed before it, or else the session would begin again.
    engine = create_async_engine(database, isolation_level="READ COMMITTED")
    yield engine
    await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


@pytest.fixture
async def other(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def stored(session: AsyncSession, *attempts: Attempt) -> None:
    """Claims that were answered and committed."""
    for attempt in attempts or (ATTEMPT,):
        assert await claim(session, attempt) is None
        await keep(session, attempt, ANSWER)
    await session.commit()


class TestClaim:
    async def test_is_answered_by_what_was_kept(
        self, session: AsyncSession, other: AsyncSession
    ) -> None:
        await stored(session)
        assert await claim(session, ATTEMPT) == ANSWER
        assert await claim(other, ATTEMPT) == ANSWER

    async def test_of_other_fields_is_refused(self, session: AsyncSession) -> None:
        await stored(session)
        with pytest.raises(IdempotencyKeyReused):
            await claim(session, replace(ATTEMPT, fingerprint=OTHERS))

    @pytest.mark.parametrize("older", [b"fields", b"others", b"\x01field", b"\x00fields"])
    async def test_of_another_format_cannot_be_compared(
        self, session: AsyncSession, older: bytes
    ) -> None:
        await stored(session, replace(ATTEMPT, fingerprint=older))
        assert await claim(session, ATTEMPT) == ANSWER

    async def test_belongs_to_a_principal_a_path_and_a_key(
        self, session: AsyncSession, other: AsyncSession
    ) -> None:
        attempts = [
            ATTEMPT,
            replace(ATTEMPT, principal="ada"),
            replace(ATTEMPT, path="/items"),
            replace(ATTEMPT, key="ONE REQUEST"),
            # The same text, cut elsewhere.
            Attempt("anonymous/", "accounts", "one request", FIELDS),
            Attempt("anonymous", "/accountsone", " request", FIELDS),
        ]
        for number, attempt in enumerate(attempts):
            # Each in turn of one session, while the other holds one that is none of its business.
            holder, claimer = (session, other) if number % 2 else (other, session)
            assert await claim(holder, replace(attempt, key=f"held {number}")) is None
            await stored(claimer, attempt)
            await holder.rollback()

    async def test_waits_for_nobody(self, session: AsyncSession, other: AsyncSession) -> None:
        assert await claim(session, ATTEMPT) is None
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(IdempotencyInFlight):
                await claim(other, ATTEMPT)
            # Nor does it say more of one under way with other fields.
            with pytest.raises(IdempotencyInFlight):
                await claim(other, replace(ATTEMPT, fingerprint=OTHERS))
        await other.rollback()
        await keep(session, ATTEMPT, ANSWER)
        with pytest.raises(IdempotencyInFlight):
            await claim(other, ATTEMPT)
        await session.commit()
        assert await claim(other, ATTEMPT) == ANSWER

    async def test_is_forgotten_with_its_transaction(
        self, session: AsyncSession, other: AsyncSession
    ) -> None:
        assert await claim(session, ATTEMPT) is None
        await session.rollback()
        assert await claim(other, ATTEMPT) is None

    async def test_two_repeats_do_not_hinder_each_other(
        self, session: AsyncSession, other: AsyncSession
    ) -> None:
        await stored(session)
        assert await claim(session, ATTEMPT) == ANSWER  # and its transaction stays open
        async with asyncio.timeout(PATIENCE):
            assert await claim(other, ATTEMPT) == ANSWER

    @pytest.mark.parametrize("fingerprint", [FIELDS, OTHERS])
    async def test_of_an_expired_key_is_a_new_one(
        self, database: URL, session: AsyncSession, other: AsyncSession, fingerprint: bytes
    ) -> None:
        await stored(session)
        await execute(database, EXPIRE)
        attempt = replace(ATTEMPT, fingerprint=fingerprint)
        assert await claim(session, attempt) is None
        # Meanwhile the old answer is still there for others to see, and still expired.
        with pytest.raises(IdempotencyInFlight):
            await claim(other, attempt)
        await other.rollback()
        answer = StoredResponse(201, {}, b"second")
        await keep(session, attempt, answer)
        await session.commit()
        assert await claim(other, attempt) == answer

    async def test_forgotten_leaves_the_expired_key_expired(
        self, database: URL, session: AsyncSession
    ) -> None:
        await stored(session)
        await execute(database, EXPIRE)
        assert await claim(session, ATTEMPT) is None
        await session.rollback()
        assert await claim(session, ATTEMPT) is None

    async def test_of_a_key_without_an_answer_is_in_flight(
        self, database: URL, session: AsyncSession
    ) -> None:
        await stored(session)
        await execute(database, "UPDATE idempotency_keys SET status = NULL")
        with pytest.raises(IdempotencyInFlight):
            await claim(session, ATTEMPT)


class TestSweep:
    async def test_deletes_what_has_expired_and_nothing_else(
        self, database: URL, session: AsyncSession
    ) -> None:
        live = [replace(ATTEMPT, key=f"live {n}") for n in range(3)]
        await stored(session, ATTEMPT, replace(ATTEMPT, path="/items"))
        await execute(database, EXPIRE)
        await stored(session, *live)
        assert await sweep(session) == 2
        assert await sweep(session) == 0
        await session.commit()
        for attempt in live:
            assert await claim(session, attempt) == ANSWER

    async def test_goes_in_batches(
        self, database: URL, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idempotency, "SWEEP_SIZE", 4)
        await stored(session, *(replace(ATTEMPT, key=str(n)) for n in range(10)))
        await execute(database, EXPIRE, "ANALYZE idempotency_keys")
        assert [await sweep(session) for _ in range(4)] == [4, 4, 2, 0]

    async def test_passes_over_keys_in_use_and_waits_for_nobody(
        self, database: URL, session: AsyncSession, other: AsyncSession
    ) -> None:
        await stored(session, *(replace(ATTEMPT, key=str(n)) for n in range(3)))
        await execute(database, EXPIRE)
        assert await claim(other, replace(ATTEMPT, key="1")) is None
        async with asyncio.timeout(PATIENCE):
            assert await sweep(session) == 2
        await session.commit()
        await keep(other, replace(ATTEMPT, key="1"), ANSWER)
        await other.commit()
        assert await sweep(session) == 0
        assert await claim(session, replace(ATTEMPT, key="1")) == ANSWER

    async def test_of_two_each_deletes_others(
        self,
        database: URL,
        session: AsyncSession,
        other: AsyncSession,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(idempotency, "SWEEP_SIZE", 3)
        await stored(session, *(replace(ATTEMPT, key=str(n)) for n in range(5)))
        await execute(database, EXPIRE)
        async with asyncio.timeout(PATIENCE):
            assert (await sweep(session), await sweep(other)) == (3, 2)

    async def test_meets_a_claim_that_comes_later(
        self, database: URL, session: AsyncSession, other: AsyncSession
    ) -> None:
        await stored(session)
        await execute(database, EXPIRE)
        assert await sweep(session) == 1
        claiming = asyncio.create_task(claim(other, ATTEMPT))
        await held_up(database)
        await session.commit()
        assert await claiming is None
        await keep(other, ATTEMPT, ANSWER)
        await other.commit()
        assert await claim(session, ATTEMPT) == ANSWER
