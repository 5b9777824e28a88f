"""What many callers ask for, gathered; test_reader and test_inserts say what it is good for."""

import asyncio
from collections.abc import Sequence

import pytest

from app.database.batches import Batches
from app.errors import Overloaded


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
    await asyncio.sleep(0.01)
    assert len(gates) == 2
    gates[0].set_exception(Overloaded())
    await asyncio.sleep(0.01)
    assert [task.done() for task in tasks] == [True, False, True, True, True]
    for task in (tasks[0], *tasks[2:]):
        with pytest.raises(Overloaded):
            await task
    gates[1].set_result(None)
    assert await tasks[1] == 1
    later = asyncio.create_task(batches.ask(7))
    await asyncio.sleep(0.01)
    gates[2].set_result(None)
    assert await later == 7
