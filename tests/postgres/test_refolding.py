"""Columns that are made anew: keys of emails and search words of what an earlier build stored."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from app.accounts.service import EMAIL_KEYS
from app.items.service import ITEM_WORDS
from app.postgres import refolding
from app.postgres.migrations import alembic_config, migrate
from app.postgres.refolding import Folded, RefoldingError
from tests.applications import client_of, running_app
from tests.pages import found

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

    def __call__(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(self.emails) == self.most:
            raise KeyboardInterrupt
        self.emails.append(row["email"])
        return EMAIL_KEYS.fold(row)

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
        assert {line["table"] for line in progress} == {"accounts"}
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


# Stored by the build before the search words, and what finds it now.
ITEMS = {
    "Lamp™": (None, "lamp"),
    "Straße": ("", "STRASSE"),
    "Vase": ("東京都", "京都 vase"),
    "!!!": ("???", "nothing"),
    "Desk": ("Oak", "oak desk"),
}


@pytest.fixture
async def old_items(engine: AsyncEngine) -> None:
    """Items in the schema of the build before."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0002"))
    await store(engine, [("ada@example.com", "ada@example.com")])
    for number, (name, (description, _)) in enumerate(ITEMS.items(), 1):
        await store_item(engine, number, name, description)


async def store_item(
    engine: AsyncEngine, number: int, name: str, description: str | None = None
) -> None:
    """As an earlier build does."""
    insert = text(
        "INSERT INTO items (id, account_id, name, description, image_link)"
        " VALUES (:id, :owner, :name, :description, 'http://example.com/')"
    )
    values = {"id": row_id(number), "owner": row_id(1), "name": name, "description": description}
    async with engine.begin() as connection:
        await connection.execute(insert, values)


async def made(engine: AsyncEngine) -> list[bool]:
    """Of which items the words are made."""
    query = text("SELECT name_words <> '?' AND description_words <> '?' FROM items ORDER BY id")
    async with engine.connect() as connection:
        return list((await connection.execute(query)).scalars())


@pytest.mark.usefixtures("old_items")
class TestSearchWords:
    async def test_are_found_after_a_migration(self, engine: AsyncEngine, database: URL) -> None:
        await migrate(engine, folded=[ITEM_WORDS])
        async with running_app(database) as application, client_of(application) as client:
            for name, (_, words) in ITEMS.items():
                expected = set() if words == "nothing" else {name}
                assert await found(client, "/items", "name", q=words) == expected

    async def test_go_on_where_they_were_interrupted(
        self, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refolding, "BATCH_ROWS", 2)
        names: list[str] = []

        def fold(row: Mapping[str, Any]) -> Mapping[str, Any]:
            if len(names) == 3:
                raise KeyboardInterrupt
            names.append(row["name"])
            return ITEM_WORDS.fold(row)

        with pytest.raises(KeyboardInterrupt):
            await migrate(engine, folded=[replace(ITEM_WORDS, fold=fold)])
        assert await made(engine) == [True, True, False, False, False]
        names.clear()
        with capture_logs() as logs:
            await migrate(engine, folded=[replace(ITEM_WORDS, fold=fold)])
        assert names == list(ITEMS)[2:]
        assert await made(engine) == [True] * 5
        progress = [line for line in logs if line["event"] == "rows refolded"]
        assert [(line["table"], line["rows"]) for line in progress] == [("items", 2), ("items", 3)]
        # One without any word is made, too.
        await migrate(engine, folded=[replace(ITEM_WORDS, fold=fold)])
        assert names == list(ITEMS)[2:]

    async def test_are_made_of_what_an_earlier_build_inserts_later(
        self, engine: AsyncEngine
    ) -> None:
        await migrate(engine, folded=[ITEM_WORDS])
        await store_item(engine, 9, "Cup")
        assert await made(engine) == [True] * 5 + [False]
        await migrate(engine, folded=[ITEM_WORDS])
        assert await made(engine) == [True] * 6

    async def test_change_nothing_that_clients_see(self, engine: AsyncEngine) -> None:
        query = text(
            "SELECT to_jsonb(items) - 'name_words' - 'description_words' FROM items ORDER BY id"
        )

        async def rows() -> list[Any]:
            async with engine.connect() as connection:
                return list((await connection.execute(query)).scalars())

        before = await rows()
        await migrate(engine, folded=[ITEM_WORDS])
        assert await rows() == before
