"""API keys: unique names, rotation with an overlap, and no secret that is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import keys as service
from app.auth.key_format import digest_of, is_well_formed
from app.auth.keys import ApiKeyError, NewKey
from app.cli.key_table import table_of_keys

DAY = timedelta(days=1)


async def create(session: AsyncSession, name: str = "ci", **values: Any) -> NewKey:
    options = {"mode": "testing", "scope": "read", "expires": None, **values}
    return await service.create_key(session, name=name, **options)


async def live(session: AsyncSession) -> dict[bytes, Any]:
    return {row.digest: row for row in await session.execute(service.live_keys())}


class TestCreate:
    async def test_stores_only_the_digest(self, session: AsyncSession) -> None:
        key = await create(session, scope="write", expires=datetime.now(UTC) + DAY)
        assert is_well_formed(key.secret.encode(), "testing")
        found = (await live(session))[digest_of(key.secret.encode())]
        assert (found.name, found.scope) == ("ci", "write")
        assert 0 < found.seconds_left <= 86400
        stored = await session.scalar(text("SELECT string_agg(api_keys::text, '') FROM api_keys"))
        assert key.secret not in stored
        assert key.secret.split("_")[2] not in stored

    async def test_does_not_expire_by_default(self, session: AsyncSession) -> None:
        key = await create(session)
        assert (await live(session))[digest_of(key.secret.encode())].seconds_left is None

    async def test_a_name_is_unique_among_current_keys(self, session: AsyncSession) -> None:
        await create(session)
        with pytest.raises(ApiKeyError, match=r"A key ci already exists.*keys rotate ci"):
            async with session.begin_nested():
                await create(session)
        await service.revoke_keys(session, "ci")
        await create(session)

    async def test_an_expiry_in_the_past_is_refused(self, session: AsyncSession) -> None:
        with pytest.raises(ApiKeyError, match="is in the past"):
            await create(session, expires=datetime.now(UTC))

    async def test_other_errors_of_the_database_are_raised(self, session: AsyncSession) -> None:
        with pytest.raises(IntegrityError, match="ck_api_keys_scope_known"):
            await create(session, scope="root")

    async def test_the_secret_is_not_in_the_repr(self, session: AsyncSession) -> None:
        key = await create(session)
        assert key.secret not in f"{key} {key!r}"


class TestRotate:
    async def test_the_old_key_ends_after_the_overlap(self, session: AsyncSession) -> None:
        old = await create(session, scope="write")
        new, ends = await service.rotate_key(session, "testing", "ci", DAY, None)
        found = await live(session)
        assert len(found) == 2
        assert {row.name for row in found.values()} == {"ci"}
        assert {row.scope for row in found.values()} == {"write"}
        left = found[digest_of(old.secret.encode())].seconds_left
        assert 86300 < left <= 86400
        assert abs(ends - datetime.now(UTC) - DAY) < timedelta(minutes=1)
        assert found[digest_of(new.secret.encode())].seconds_left is None

    async def test_without_overlap_it_ends_at_once(self, session: AsyncSession) -> None:
        await create(session)
        new, _ = await service.rotate_key(session, "testing", "ci", timedelta(), None)
        assert list(await live(session)) == [digest_of(new.secret.encode())]

    async def test_never_makes_the_old_key_live_longer(self, session: AsyncSession) -> None:
        expires = datetime.now(UTC) + timedelta(hours=1)
        await create(session, expires=expires)
        new, ends = await service.rotate_key(session, "testing", "ci", DAY, None)
        assert ends == expires
        assert new.expires is not None  # after the lifetime of the old one
        left = new.expires - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(minutes=61)

    async def test_the_new_key_may_have_another_expiry(self, session: AsyncSession) -> None:
        await create(session)
        expires = datetime.now(UTC) + 30 * DAY
        new, _ = await service.rotate_key(session, "testing", "ci", DAY, expires)
        assert new.expires == expires

    async def test_again_rotates_the_new_one(self, session: AsyncSession) -> None:
        await create(session)
        for _ in range(3):
            await service.rotate_key(session, "testing", "ci", DAY, None)
        assert len(await live(session)) == 4

    async def test_needs_a_key_of_the_name(self, session: AsyncSession) -> None:
        await create(session)
        await service.revoke_keys(session, "ci")
        for name in ("ci", "other"):
            with pytest.raises(ApiKeyError, match=f"no key {name}, or it is revoked"):
                await service.rotate_key(session, "testing", name, DAY, None)


class TestRevoke:
    async def test_ends_all_keys_of_a_name(self, session: AsyncSession) -> None:
        await create(session)
        await create(session, "other")
        await service.rotate_key(session, "testing", "ci", DAY, None)
        assert len(await service.revoke_keys(session, "ci")) == 2
        assert [row.name for row in (await live(session)).values()] == ["other"]

    async def test_ends_the_one_key_of_a_prefix(self, session: AsyncSession) -> None:
        old = await create(session)
        new, _ = await service.rotate_key(session, "testing", "ci", DAY, None)
        prefix = old.secret[: len("satchel_testing_") + 8]
        assert await service.revoke_keys(session, prefix) == [prefix]
        assert list(await live(session)) == [digest_of(new.secret.encode())]

    async def test_refuses_unknown_and_revoked_keys(self, session: AsyncSession) -> None:
        with pytest.raises(ApiKeyError, match=r"There is no key ci: see .satchel keys list"):
            await service.revoke_keys(session, "ci")
        await create(session)
        await service.revoke_keys(session, "ci")
        with pytest.raises(ApiKeyError, match="ci is already revoked"):
            await service.revoke_keys(session, "ci")


class TestList:
    async def test_shows_all_with_their_states(self, session: AsyncSession) -> None:
        for name in ("good", "gone", "late", "ci"):
            await create(session, name)
        await service.rotate_key(session, "testing", "ci", DAY, None)
        await service.revoke_keys(session, "gone")
        await session.execute(text("UPDATE api_keys SET expires = 'now' WHERE name = 'late'"))
        keys = await service.list_keys(session)
        now = datetime.now(UTC) + timedelta(minutes=1)
        lines = [line.split() for line in table_of_keys(keys, now).splitlines()]
        assert lines[0][:4] == ["PREFIX", "NAME", "SCOPE", "STATE"]
        states = sorted((line[1], line[3]) for line in lines[1:])
        assert states == [
            ("ci", "good"),
            ("ci", "rotated"),
            ("gone", "revoked"),
            ("good", "good"),
            ("late", "expired"),
        ]
        assert {line[0][:16] for line in lines[1:]} == {"satchel_testing_"}
        assert "digest" not in keys[0]._fields
