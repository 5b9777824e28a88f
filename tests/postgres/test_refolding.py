"""Columns that are made anew: the keys of emails that an earlier build stored."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from app.accounts.service import EMAIL_KEYS
from app.postgres import refolding
from app.postgres.migrations import migrate
from app.postgres.refolding import Folded, RefoldingError

INSERT = """
    INSERT INTO accounts (id, email, email_key, username)
    VALUES (CAST(:id AS uuid), :email, :key, 'ada')"""


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    """An engine of a migrated database."""
    engine = create_async_engine(database, pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()


def row_id(number: int) -> UUID:
    return UUID(int=number)


async def store(engine: AsyncEngine, emails_and_keys: Sequence[tuple[str, str]]) -> None:
    """Accounts numbered from 1."""
    rows = [
        {"id": str(row_id(number)), "email": email, "key": key}
        for number, (email, key) in enumerate(emails_and_keys, 1)
    ]
    async with engine.begin() as connection:
        await connection.execute(text(INSERT), rows)


async def stored(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        keys = await connection.execute(text("SELECT email_key FROM accounts ORDER BY id"))
        return list(keys.scalars())


OLD = [(f"Ada{n}@faß.example", f"ada{n}@fass.example") for n in range(1, 6)]
NEW = [f"ada{n}@faß.example" for n in range(1, 6)]


class Counted:
    """The fold of email keys, which counts its calls and fails after some of them."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.emails: list[str] = []

    def __call__(self, email: str) -> str:
        if len(self.emails) == self.most:
            raise KeyboardInterrupt
        self.emails.append(email)
        return EMAIL_KEYS.fold(email)

    @property
    def folded(self) -> Folded:
        return replace(EMAIL_KEYS, fold=self)


class TestRefold:
    async def test_only_what_an_earlier_build_made_otherwise(self, engine: AsyncEngine) -> None:
        kept = [
            ("Eve@example.com", "eve@example.com"),
            ("Straße@bücher.example", "strasse@bücher.example"),
        ]
        await store(engine, [*OLD, *kept])
        counted = Counted()
        await migrate(engine, folded=[counted.folded])
        assert counted.emails == [email for email, _ in OLD]
        assert await stored(engine) == [*NEW, *(key for _, key in kept)]
        await migrate(engine, folded=[counted.folded])
        assert len(counted.emails) == len(OLD)

    async def test_changes_nothing_that_clients_see(self, engine: AsyncEngine) -> None:
        await store(engine, OLD)
        query = text("SELECT to_jsonb(accounts) - 'email_key' FROM accounts ORDER BY id")

        async def rows() -> list[Any]:
            async with engine.connect() as connection:
                return list((await connection.execute(query)).scalars())

        before = await rows()
        await migrate(engine, folded=[EMAIL_KEYS])
        assert await rows() == before

    async def test_in_batches_whose_progress_is_logged(
        self, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refolding, "BATCH_ROWS", 2)
        await store(engine, OLD)
        with capture_logs() as logs:
            await migrate(engine, folded=[EMAIL_KEYS])
        progress = [line for line in logs if line["event"] == "rows refolded"]
        assert [line["rows"] for line in progress] == [2, 4, 5]
        assert {line["column"] for line in progress} == {"accounts.email_key"}
        assert "@" not in str(progress)
        assert await stored(engine) == NEW

    async def test_goes_on_where_it_was_interrupted(
        self, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refolding, "BATCH_ROWS", 2)
        await store(engine, OLD)
        with pytest.raises(KeyboardInterrupt):
            await migrate(engine, folded=[Counted(most=3).folded])
        assert await stored(engine) == [*NEW[:2], *(key for _, key in OLD[2:])]
        counted = Counted()
        await migrate(engine, folded=[counted.folded])
        assert counted.emails == [email for email, _ in OLD[2:]]
        assert await stored(engine) == NEW

    @pytest.mark.parametrize(
        "other", [("b@example.com", "ada1@faß.example"), ("ADA1@faß.example", "ada1x@fass.example")]
    )
    async def test_two_rows_that_would_be_one_stop_it_by_their_ids(
        self, engine: AsyncEngine, other: tuple[str, str]
    ) -> None:
        await store(engine, [*OLD, other])
        with pytest.raises(RefoldingError) as stop:
            await migrate(engine, folded=[EMAIL_KEYS])
        assert str(row_id(1)) in str(stop.value)
        assert str(row_id(6)) in str(stop.value)
        assert "@" not in str(stop.value)
        assert await stored(engine) == [*(key for _, key in OLD), other[1]]
        async with engine.begin() as connection:
            await connection.execute(
                text("DELETE FROM accounts WHERE id = CAST(:id AS uuid)"), {"id": str(row_id(6))}
            )
        await migrate(engine, folded=[EMAIL_KEYS])
        assert await stored(engine) == NEW

    async def test_leaves_the_database_of_a_newer_build_alone(self, engine: AsyncEngine) -> None:
        await store(engine, OLD)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
        await migrate(engine, folded=[EMAIL_KEYS])
        assert await stored(engine) == [key for _, key in OLD]
