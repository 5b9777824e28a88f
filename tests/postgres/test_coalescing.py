"""What many callers ask for, gathered; test_reader and test_inserts say what it is good for."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import Overloaded
from app.postgres import coalescing as batches_module
from app.postgres.coalescing import Batches
from tests.waiting import PATIENCE, come


@pytest.fixture(autouse=True)
def none_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine does meanwhile."""
    monkeypatch.setattr(batches_module, "SLOW", PATIENCE)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_answers_and_errors_find_their_callers() -> None:
    async def run(asked: Sequence[int]) -> Sequence[int | BaseException]:
        await asyncio.sleep(0)
        return [ValueError(str(number)) if number % 3 == 0 else number * 2 for number in asked]

    sizes: list[int] = []
    batches = Batches(run, sizes.append)
    found = await asyncio.gather(*map(batches.ask, range(1, 10)), return_exceptions=True)
    assert [str(one) for one in found] == ["2", "4", "3", "8", "10", "6", "14", "16", "9"]
    assert sizes == [1, 1, 7]


async def test_who_waits_for_one_that_had_no_turn_is_told_with_it() -> None:
    """Or, where all connections are taken, each batch would wait as long again as the last."""
    gates: list[asyncio.Future[None]] = []

    async def run(asked: Sequence[int]) -> Sequence[int]:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gates.append(gate)
        await gate
        return asked

    batches = Batches(run)
    tasks = [asyncio.create_task(batches.ask(number)) for number in range(5)]
    await settle()
    assert len(gates) == 2
    gates[0].set_exception(Overloaded())
    await settle()
    assert [task.done() for task in tasks] == [True, False, True, True, True]
    for task in (tasks[0], *tasks[2:]):
        with pytest.raises(Overloaded):
            await task
    gates[1].set_result(None)
    assert await tasks[1] == 1
    later = asyncio.create_task(batches.ask(7))
    await settle()
    gates[2].set_result(None)
    assert await later == 7


async def test_who_has_gone_away_is_not_asked_for() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ran: list[Sequence[int]] = []

    async def run(asked: Sequence[int]) -> Sequence[int]:
        ran.append(asked)
        await gate
        return asked

    batches = Batches(run)
    tasks = [asyncio.create_task(batches.ask(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.sleep(0)
    gate.set_result(None)
    assert await asyncio.gather(*tasks[:2], tasks[3]) == [0, 1, 3]
    assert ran == [[0], [1], [3]]


async def test_what_takes_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "SLOW", 0.01)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(asked: Sequence[int]) -> Sequence[int]:
        if asked[0] < 2:  # they wait for a lock perhaps
            await gate
        return asked

    batches = Batches(run)
    tasks = [asyncio.create_task(batches.ask(number)) for number in range(5)]
    assert await come(asyncio.gather(*tasks[2:])) == [2, 3, 4]
    assert not tasks[0].done()
    gate.set_result(None)
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]


async def test_an_answer_may_come_later_than_the_others() -> None:
    async def fail() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("late")

    async def find() -> int:
        await asyncio.sleep(0.01)
        return 7

    async def run(asked: Sequence[int]) -> Sequence[int | asyncio.Task[int]]:
        late = {1: find, 2: fail}
        return [asyncio.create_task(late[one]()) if one in late else one for one in asked]

    batches = Batches(run)
    found = await asyncio.gather(*map(batches.ask, [0, 5, 1, 2, 3]), return_exceptions=True)
    assert [str(one) for one in found] == ["0", "5", "7", "late", "3"]


async def test_one_that_is_broken_off_leaves_nobody_waiting() -> None:
    async def run(_asked: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await come(Batches(run).ask(1))
