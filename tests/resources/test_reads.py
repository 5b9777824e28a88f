"""Rows by id, those of many callers in one statement."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Executable, Result, Select, text

from app.postgres import coalescing as batches
from app.postgres.statements import Statements
from app.resources.reads import Reader
from tests.waiting import PATIENCE


class Gate(Statements):
    """Answers each statement when it is told to, with the ids that are even."""

    def __init__(self) -> None:
        self.batches: list[list[UUID]] = []
        self.answers: list[asyncio.Future[None]] = []

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        ids = list((parameters or {})["ids"])
        self.batches.append(ids)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        await answer
        rows = [(row_id, f"row {row_id.int}") for row_id in ids if row_id.int % 2 == 0]
        return cast(Result[Any], rows)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def ids(*numbers: int) -> list[UUID]:
    return [UUID(int=number) for number in numbers]


@pytest.fixture(autouse=True)
def none_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine does meanwhile."""
    monkeypatch.setattr(batches, "SLOW_SECONDS", PATIENCE)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def reader(gate: Gate) -> Reader:
    return Reader(gate, cast(Select[Any], text("SELECT")))


def ask(reader: Reader, *numbers: int) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(reader.get(row_id)) for row_id in ids(*numbers)]


async def test_a_lone_caller_waits_for_nobody(reader: Reader, gate: Gate) -> None:
    [task] = ask(reader, 2)
    await settle()
    assert gate.batches == [ids(2)]
    gate.answers[0].set_result(None)
    assert await task == (UUID(int=2), "row 2")


async def test_ids_gather_while_statements_are_under_way(reader: Reader, gate: Gate) -> None:
    tasks = ask(reader, 2, 4)
    await settle()
    tasks += ask(reader, 6, 7, 8, 6)
    await settle()
    assert gate.batches == [ids(2), ids(4)]
    gate.answers[0].set_result(None)
    await settle()
    assert gate.batches[2:] == [ids(6, 7, 8)]
    for answer in gate.answers[1:]:
        answer.set_result(None)
    found = await asyncio.gather(*tasks)
    assert [row and row[0].int for row in found] == [2, 4, 6, None, 8, 6]


async def test_a_statement_starts_after_its_callers_came(reader: Reader, gate: Gate) -> None:
    """So each reads what was written before it asked, even where the id is being read already."""
    tasks = ask(reader, 2, 4)
    await settle()
    tasks += ask(reader, 2)
    await settle()
    gate.answers[0].set_result(None)
    await settle()
    assert gate.batches == [ids(2), ids(4), ids(2)]
    for answer in gate.answers[1:]:
        answer.set_result(None)
    await asyncio.gather(*tasks)


async def test_batches_and_statements_under_way_are_bounded(
    reader: Reader, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH", 3)
    tasks = ask(reader, *range(2, 18, 2))
    await settle()
    assert len(gate.answers) == batches.MAX_IN_FLIGHT == 2
    for turn in range(4):
        await settle()
        gate.answers[turn].set_result(None)
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in gate.batches] == [1, 1, 3, 3]


async def test_a_failure_reaches_every_caller_of_its_batch_and_no_other(
    reader: Reader, gate: Gate
) -> None:
    tasks = ask(reader, 2, 4)
    await settle()
    batch = ask(reader, 6, 8)
    await settle()
    gate.answers[0].set_result(None)
    await settle()
    after = ask(reader, 10)
    await settle()
    gate.answers[2].set_exception(OSError("away"))
    assert all(
        isinstance(found, OSError) for found in await asyncio.gather(*batch, return_exceptions=True)
    )
    await settle()
    assert gate.batches[3] == ids(10)
    gate.answers[1].set_result(None)
    gate.answers[3].set_result(None)
    assert [row[0].int for row in await asyncio.gather(*tasks, *after)] == [2, 4, 10]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_takes_no_other_caller_along(
    reader: Reader, gate: Gate, *, fails: bool
) -> None:
    tasks = ask(reader, 2, 4)
    await settle()
    gone, same, other = ask(reader, 6, 6, 8)
    await settle()
    gone.cancel()
    gate.answers[0].set_result(None)
    gate.answers[1].set_result(None)
    await settle()
    if fails:
        gate.answers[2].set_exception(OSError("away"))
    else:
        gate.answers[2].set_result(None)
    found = await asyncio.gather(gone, same, other, *tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    for row, number in zip(found[1:3], (6, 8), strict=True):
        assert isinstance(row, OSError) if fails else row == (UUID(int=number), f"row {number}")
