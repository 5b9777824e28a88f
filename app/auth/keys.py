"""The rules of API keys, on a session: making, listing, rotating and revoking them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.key_format import digest_of, make_key, prefix_of
from app.models import ApiKey
from app.postgres.schema import table_of

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
KEYS = table_of(ApiKey).c
# What the database's clock says; that of the transaction would stand still.
NOW = func.statement_timestamp()


class ApiKeyError(Exception):
    """What an operator asks for cannot be; the message says what can."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; its secret is shown once and not in logs."""

    secret: str
    name: str
    scope: str
    expires: datetime | None

    def __repr__(self) -> str:
        return f"NewKey(name={self.name!r})"


async def create_key(
    session: AsyncSession, mode: str, name: str, scope: str, expires: datetime | None
) -> NewKey:
    """Make a key. Errors: ApiKeyError, where the name is taken or the time past."""
    if expires is not None and expires <= datetime.now(UTC):
        raise ApiKeyError(f"{expires.isoformat()} is past: choose a time to come.")
    key = make_key(mode)
    row = ApiKey(
        name=name,
        prefix=prefix_of(key),
        digest=digest_of(key.encode()),
        scope=scope,
        expires=expires,
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_api_keys_name" not in str(error.orig):
            raise
        raise ApiKeyError(
            f"There is a key {name} already: choose another name, or"
            f" `satchel keys rotate {name}`, or `satchel keys revoke {name}` first."
        ) from None
    return NewKey(key, name, scope, expires)


async def list_keys(session: AsyncSession) -> Sequence[Row[Any]]:
    """All keys that were ever made, the newest first."""
    shown = (column for column in KEYS if column is not KEYS.digest)
    return (await session.execute(select(*shown).order_by(KEYS.created.desc(), KEYS.id))).all()


async def revoke_keys(session: AsyncSession, reference: str) -> list[str]:
    """End all keys of a name, or the one of a prefix; how they began. Errors: ApiKeyError."""
    matching = or_(KEYS.name == reference, KEYS.prefix == reference)
    revoking = update(ApiKey).where(matching, KEYS.revoked.is_(None)).values(revoked=NOW)
    revoking = revoking.execution_options(synchronize_session=False)
    revoked = (await session.scalars(revoking.returning(KEYS.prefix))).all()
    if not revoked:
        known = await session.scalar(select(func.count()).where(matching))
        what = f"{reference} is revoked already" if known else f"There is no key {reference}"
        raise ApiKeyError(f"{what}: `satchel keys list` shows those there are.")
    return sorted(revoked)


async def rotate_key(
    session: AsyncSession, mode: str, name: str, overlap: timedelta, expires: datetime | None
) -> tuple[NewKey, datetime]:
    """A new key of the same name and scope, and when the old one ends: after the overlap at last.

    Unless said otherwise the new one lives as long as the old one was to. Errors: ApiKeyError.
    """
    finding = select(KEYS.id, KEYS.scope, (KEYS.expires - KEYS.created).label("lifetime"))
    finding = finding.where(KEYS.name == name, current()).with_for_update()
    old = (await session.execute(finding)).one_or_none()
    if old is None:
        raise ApiKeyError(
            f"There is no key {name}, or it is revoked: `satchel keys list` shows those there are,"
            f" `satchel keys create --name {name}` makes one."
        )
    ends = func.least(KEYS.expires, NOW + overlap)
    rotating = update(ApiKey).where(KEYS.id == old.id).values(rotated=NOW, expires=ends)
    rotating = rotating.execution_options(synchronize_session=False)
    old_ends = (await session.execute(rotating.returning(KEYS.expires))).scalar_one()
    if expires is None and old.lifetime is not None:
        expires = datetime.now(UTC) + old.lifetime
    return await create_key(session, mode, name, old.scope, expires), old_ends


def current() -> ColumnElement[bool]:
    """A key that has its name still."""
    return and_(KEYS.revoked.is_(None), KEYS.rotated.is_(None))


def live_keys() -> Select[Any]:
    """What a request needs to know of keys that are neither expired nor revoked."""
    left = func.extract("epoch", KEYS.expires - NOW)
    return select(KEYS.digest, KEYS.id, KEYS.name, KEYS.scope, left.label("seconds_left")).where(
        KEYS.revoked.is_(None), or_(KEYS.expires.is_(None), KEYS.expires > NOW)
    )
