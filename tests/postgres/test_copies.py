"""Copies: as many at once as may, each read at the pace of its reader, and nothing left of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import pytest
from sqlalchemy import URL, Date, Integer, Select, bindparam, column, func, select
from sqlalchemy.exc import InvalidRequestError
from structlog.testing import capture_logs

from app.errors import Overloaded
from app.postgres.copies import PIECE_SIZE, Copies
from app.postgres.engine import make_engine
from app.postgres.statement_count import start_statement_count
from tests.applications import make_settings
from tests.databases import execute
from tests.waiting import come

NUMBERS: Select[Any] = select(column("n")).select_from(
    func.generate_series(1, bindparam("last", type_=Integer)).alias("n")
)


@pytest.fixture
async def copies(database: URL) -> AsyncIterator[Copies]:
    engine = make_engine(database, make_settings(pool_size=2), autocommit=True)
    copies = Copies(engine, 2, time_limit=600)
    yield copies
    assert copies.running == 0
    await copies.close()


class Reader:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reads = asyncio.Event()
        self.has_begun = asyncio.Event()

    async def __call__(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.has_begun.set()
        await self.reads.wait()


def copy(copies: Copies, write: Any, last: int = 1_000_000) -> asyncio.Task[int]:
    return asyncio.create_task(copies.copy(NUMBERS, {"last": last}, {}, write))


async def test_the_pieces_end_where_rows_do(copies: Copies) -> None:
    reader, count = Reader(), start_statement_count()
    reader.reads.set()
    assert await copy(copies, reader) == 1_000_000
    assert b"".join(reader.pieces) == b"".join(b"%d\n" % n for n in range(1, 1_000_001))
    # The last one is empty if a piece was complete just before.
    assert all(piece.endswith(b"\n") for piece in reader.pieces if piece)
    assert all(len(piece) >= PIECE_SIZE for piece in reader.pieces[:-1])
    assert count.statements == 1


async def test_the_statement_is_logged_without_its_values(copies: Copies) -> None:
    reader = Reader()
    reader.reads.set()
    with capture_logs() as lines:
        await copy(copies, reader, 4321)
    (line,) = (each for each in lines if each["event"] == "sql")
    assert line["log_level"] == "debug"
    assert line["statement"].startswith("COPY (SELECT n ")
    assert "4321" not in line["statement"]


@pytest.mark.parametrize("level", ["read committed", "serializable"])
async def test_has_one_snapshot_and_keeps_no_note_of_what_it_reads(
    database: URL, level: str
) -> None:
    setting = f"default_transaction_isolation = '{level}'"
    await execute(database, f'ALTER DATABASE "{database.database}" SET {setting}')
    copies = Copies(make_engine(database, make_settings(), autocommit=True), 1, time_limit=600)
    names = ("transaction_isolation", "transaction_read_only")
    shown: Select[Any] = select(*map(func.current_setting, names))
    reader = Reader()
    reader.reads.set()
    await copies.copy(shown, {}, {}, reader)
    assert reader.pieces == [b"repeatable read\ton\n"]
    await copies.close()


async def test_of_no_rows_has_one_empty_piece(copies: Copies) -> None:
    reader = Reader()
    reader.reads.set()
    assert await copy(copies, reader, 0) == 0
    assert reader.pieces == [b""]


async def test_more_than_may_are_refused_at_once(copies: Copies) -> None:
    readers = [Reader(), Reader()]
    running = [copy(copies, reader) for reader in readers]
    await come(asyncio.gather(*(reader.has_begun.wait() for reader in readers)))
    with pytest.raises(Overloaded):
        await copy(copies, Reader())
    for reader in readers:
        reader.reads.set()
    assert await come(asyncio.gather(*running)) == [1_000_000] * 2


async def test_one_whose_reader_fails_leaves_its_place(copies: Copies) -> None:
    async def fail(_: bytes) -> None:
        raise ValueError("no more")

    for _ in range(3):
        with pytest.raises(ValueError, match="no more"):
            await copy(copies, fail)
    reader = Reader()
    reader.reads.set()
    assert await copy(copies, reader, 5) == 5


async def test_one_that_is_cancelled_leaves_its_place(copies: Copies) -> None:
    for _ in range(3):
        reader = Reader()
        task = copy(copies, reader)
        await come(reader.has_begun.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await come(task)
    reader.reads.set()
    assert await copy(copies, reader, 5) == 5


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_takes_its_own_time_and_writes_iso_dates(database: URL, pooler: str) -> None:
    """Whatever the limit of the database is, and its style of dates."""
    alter = f'ALTER DATABASE "{database.database}" SET'
    await execute(database, f"{alter} statement_timeout = 1000", f"{alter} DateStyle = 'German'")
    engine = make_engine(
        database,
        make_settings(database_pooler=pooler, pool_size=1, statement_timeout=0),
        autocommit=True,
    )
    limit = func.current_setting("statement_timeout")
    shown = select(limit, bindparam("day", type_=Date), func.make_date(1990, 5, 17))
    for seconds, text in ((600, "10min"), (0, "0")):
        reader = Reader()
        reader.reads.set()
        copies = Copies(engine, 1, time_limit=seconds)
        await copies.copy(shown, {"day": date(2026, 1, 31)}, {"format": "csv"}, reader)
        assert reader.pieces == [f"{text},2026-01-31,1990-05-17\n".encode()]
    with pytest.raises(asyncpg.QueryCanceledError):
        await Copies(engine, 1, time_limit=0.01).copy(select(func.pg_sleep(60)), {}, {}, reader)
    await engine.dispose()


async def test_that_cannot_be_compiled_takes_no_place(copies: Copies) -> None:
    reader = Reader()
    for _ in range(3):
        with pytest.raises(InvalidRequestError, match="required for bind parameter"):
            await copies.copy(select(bindparam("n", required=True)), {}, {}, reader)
    assert copies.running == 0
