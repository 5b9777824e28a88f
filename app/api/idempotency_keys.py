"""Idempotency keys: the response to a request is stored with its effect, in one transaction."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import IdempotencyInFlight, IdempotencyKeyReused
from app.models import IdempotencyKey
from app.postgres.statements import Statements

LIFETIME = timedelta(hours=24)
SWEEP_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request with a key: its principal, its path and what it asks for.

    fingerprint: begins with a format number, so that a later build knows how it was made.
    """

    principal: str
    path: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to the first request with a key."""

    status: int
    headers: dict[str, str]
    body: bytes


async def claim(session: AsyncSession, attempt: Attempt) -> StoredResponse | None:
    """Take the key for this transaction; the stored response if an earlier one has taken it.

    Never waits: a request that has taken a key holds a lock until its response is committed.
    Errors: IdempotencyInFlight, IdempotencyKeyReused.
    """
    expires = func.statement_timestamp() + LIFETIME
    names = ["principal", "path", "key", "fingerprint", "expires"]
    values = (attempt.principal, attempt.path, attempt.key, attempt.fingerprint)
    row = select(*(literal(value) for value in values), expires)
    taking = insert(IdempotencyKey).from_select(
        names, row.where(func.pg_try_advisory_xact_lock(_lock_of(attempt)))
    )
    # An expired key counts as none, even before it is swept.
    taking = taking.on_conflict_do_update(
        constraint="pk_idempotency_keys",
        set_={
            "fingerprint": taking.excluded.fingerprint,
            "expires": taking.excluded.expires,
            "status": None,
            "headers": None,
            "body": None,
        },
        where=IdempotencyKey.expires <= func.statement_timestamp(),
    )
    if await session.scalar(taking.returning(IdempotencyKey.expires)) is not None:
        return None
    columns = (
        IdempotencyKey.fingerprint,
        IdempotencyKey.status,
        IdempotencyKey.headers,
        IdempotencyKey.body,
    )
    live = IdempotencyKey.expires > func.statement_timestamp()
    stored = (await session.execute(select(*columns).where(_is(attempt), live))).one_or_none()
    if stored is None or stored.status is None:
        raise IdempotencyInFlight
    if stored.fingerprint != attempt.fingerprint and _are_comparable(stored, attempt):
        raise IdempotencyKeyReused
    return StoredResponse(stored.status, stored.headers or {}, stored.body or b"")


async def keep(session: AsyncSession, attempt: Attempt, response: StoredResponse) -> None:
    """Store the response of a claimed key; it is committed together with the effect."""
    await session.execute(
        update(IdempotencyKey)
        .where(_is(attempt))
        .values(status=response.status, headers=response.headers, body=response.body)
        .execution_options(synchronize_session=False)
    )


async def sweep(runner: AsyncSession | Statements) -> int:
    """Delete a batch of expired keys and return their number; rows in use are skipped."""
    identity = (IdempotencyKey.principal, IdempotencyKey.path, IdempotencyKey.key)
    expired = (
        select(*identity)
        .where(IdempotencyKey.expires <= func.statement_timestamp())
        .limit(SWEEP_SIZE)
        .with_for_update(skip_locked=True)
        .cte("expired")  # runs once, whatever the plan, so that the limit holds
    )
    statement = (
        delete(IdempotencyKey)
        .where(tuple_(*identity).in_(select(*expired.c)))
        .returning(IdempotencyKey.key)
        .execution_options(synchronize_session=False)
    )
    return len((await runner.execute(statement)).all())


def _are_comparable(stored: Any, attempt: Attempt) -> bool:
    """Whether both fingerprints have the same format.

    Those of builds without format numbers are shorter. A request that is repeated after an upgrade
    gets its response, although it cannot be compared.
    """
    return (stored.fingerprint[:1], len(stored.fingerprint)) == (
        attempt.fingerprint[:1],
        len(attempt.fingerprint),
    )


def _is(attempt: Attempt) -> ColumnElement[bool]:
    return (
        (IdempotencyKey.principal == attempt.principal)
        & (IdempotencyKey.path == attempt.path)
        & (IdempotencyKey.key == attempt.key)
    )


def _lock_of(attempt: Attempt) -> int:
    """A number of 64 bits. If two keys share one, a request may get IdempotencyInFlight wrongly."""
    name = f"{attempt.principal}\0{attempt.path}\0{attempt.key}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
