"""The rules of API keys: creating, listing, rotating and revoking them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.key_format import digest_of, make_key, prefix_of
from app.models import ApiKey, table_of

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
TABLE = table_of(ApiKey)
KEYS = TABLE.c
# now() would be the start of the transaction.
NOW = func.statement_timestamp()


class ApiKeyError(Exception):
    """A command on keys cannot be carried out. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just created. Its secret is shown once and never logged."""

    secret: str = field(repr=False)
    name: str
    scope: str
    expires: datetime | None


async def create_key(
    session: AsyncSession, mode: str, name: str, scope: str, expires: datetime | None
) -> NewKey:
    """Create a key. Errors: ApiKeyError: the name is in use, or `expires` is in the past."""
    if expires is not None and expires <= datetime.now(UTC):
        raise ApiKeyError(f"{expires.isoformat()} is in the past: choose a later time.")
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
            f"A key {name} already exists: choose another name, or"
            f" `satchel keys rotate {name}`, or `satchel keys revoke {name}` first."
        ) from None
    return NewKey(key, name, scope, expires)


async def list_keys(session: AsyncSession) -> Sequence[Row[Any]]:
    """All keys that were ever created, the newest first."""
    shown = (column for column in KEYS if column is not KEYS.digest)
    return (await session.execute(select(*shown).order_by(KEYS.created.desc(), KEYS.id))).all()


async def revoke_keys(session: AsyncSession, reference: str) -> list[str]:
    """Revoke all keys of a name, or one by its prefix. Returns prefixes. Errors: ApiKeyError."""
    matching = or_(KEYS.name == reference, KEYS.prefix == reference)
    revoking = update(TABLE).where(matching, KEYS.revoked.is_(None)).values(revoked=NOW)
    revoked = (await session.scalars(revoking.returning(KEYS.prefix))).all()
    if not revoked:
        known = await session.scalar(select(func.count()).where(matching))
        what = f"{reference} is already revoked" if known else f"There is no key {reference}"
        raise ApiKeyError(f"{what}: see `satchel keys list`.")
    return sorted(revoked)


async def rotate_key(
    session: AsyncSession, mode: str, name: str, overlap: timedelta, expires: datetime | None
) -> tuple[NewKey, datetime]:
    """Create a key with the same name and scope. Returns it and the end of the old key.

    The old key ends after the overlap at the latest. Without `expires` the new key has the lifetime
    of the old one. Errors: ApiKeyError.
    """
    finding = select(KEYS.id, KEYS.scope, (KEYS.expires - KEYS.created).label("lifetime"))
    finding = finding.where(
        KEYS.name == name, KEYS.revoked.is_(None), KEYS.rotated.is_(None)
    ).with_for_update()
    old = (await session.execute(finding)).one_or_none()
    if old is None:
        raise ApiKeyError(
            f"There is no key {name}, or it is revoked: see `satchel keys list`, or create one"
            f" with `satchel keys create --name {name}`."
        )
    ends = func.least(KEYS.expires, NOW + overlap)
    rotating = update(TABLE).where(KEYS.id == old.id).values(rotated=NOW, expires=ends)
    old_ends = (await session.execute(rotating.returning(KEYS.expires))).scalar_one()
    if expires is None and old.lifetime is not None:
        expires = datetime.now(UTC) + old.lifetime
    return await create_key(session, mode, name, old.scope, expires), old_ends


def live_keys() -> Select[Any]:
    """The keys that are neither expired nor revoked: what a request needs to know of them.

    `free_since` is when the last key of an earlier owner of the name was revoked: the one that was
    not rotated. From then on the name was free for another owner. Null: there was none.
    """
    left = func.extract("epoch", KEYS.expires - NOW)
    last = TABLE.alias("last").c
    free_since = select(func.max(last.revoked)).where(
        last.name == KEYS.name, last.rotated.is_(None), last.revoked <= KEYS.created
    )
    return select(
        *(KEYS.digest, KEYS.id, KEYS.name, KEYS.scope),
        left.label("seconds_left"),
        free_since.scalar_subquery().label("free_since"),
    ).where(KEYS.revoked.is_(None), or_(KEYS.expires.is_(None), KEYS.expires > NOW))
