"""Coalescing of calls. Its users, reads by id and inserts, have tests of their own."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import Overloaded
from app.postgres import coalescing
from app.postgres.coalescing import Coalescer
from tests.waiting import PATIENCE, come


@pytest.fixture(autouse=True)
def no_slow_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(coalescing, "SLOW_SECONDS", PATIENCE)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Gate:
    """A `run` that returns what was asked, once its batch is let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self, asked: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(asked))
        self.gates.append(asyncio.get_running_loop().create_future())
        await self.gates[-1]
        return asked


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def ask_all(coalescer: Coalescer[int, int], count: int) -> list[asyncio.Task[int]]:
    """Ask for each number in a turn of its own, so that the first two batches have one each."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(coalescer.ask(number)))
        await settle()
    return tasks


async def test_each_caller_gets_its_own_result_or_error() -> None:
    async def run(asked: Sequence[int]) -> Sequence[int | Exception]:
        await asyncio.sleep(0)
        return [ValueError(str(number)) if number % 3 == 0 else number * 2 for number in asked]

    sizes: list[int] = []
    coalescer = Coalescer(run, sizes.append)
    found = await asyncio.gather(*map(coalescer.ask, range(1, 10)), return_exceptions=True)
    assert [str(one) for one in found] == ["2", "4", "3", "8", "10", "6", "14", "16", "9"]
    assert sizes == [9]


async def test_all_who_come_in_one_turn_of_the_loop_go_along(gate: Gate) -> None:
    """They wait for no later turn."""
    coalescer = Coalescer(gate)
    tasks = [asyncio.create_task(coalescer.ask(number)) for number in range(3)]
    await asyncio.sleep(0)  # they ask
    assert gate.batches == []
    tasks.append(asyncio.create_task(coalescer.ask(3)))
    await asyncio.sleep(0)  # the batch begins
    assert gate.batches == [[0, 1, 2]]
    await settle()
    assert gate.batches == [[0, 1, 2], [3]]
    for each in gate.gates:
        each.set_result(None)
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3]


async def test_those_who_are_too_many_for_one_batch_share_two(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MAX_BATCH", 2)
    coalescer = Coalescer(gate)
    tasks = [asyncio.create_task(coalescer.ask(number)) for number in range(5)]
    await settle()
    assert gate.batches == [[0, 1], [2, 3]]
    for number in range(3):
        gate.gates[number].set_result(None)
        await settle()
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
    assert gate.batches[2:] == [[4]]


async def test_of_equal_ones_a_batch_has_one_and_the_others_follow_in_order(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MAX_BATCH", 3)
    coalescer = Coalescer(gate, distinct_by=lambda number: number % 10)
    asked = [1, 11, 2, 21, 12, 3, 4, 31]
    tasks = [asyncio.create_task(coalescer.ask(number)) for number in asked]
    await settle()
    for number in range(4):
        gate.gates[number].set_result(None)
        await settle()
    assert await asyncio.gather(*tasks) == asked
    assert gate.batches == [[1, 2, 3], [11, 12, 4], [21], [31]]


class TestAlone:
    async def test_a_caller_takes_no_turn_of_the_loop(self) -> None:
        async def run(asked: Sequence[int]) -> Sequence[int]:
            return [number * 2 for number in asked]

        sizes: list[int] = []
        caller = Coalescer(run, sizes.append, lambda: True).ask(7)
        with pytest.raises(StopIteration) as done:  # at its first step
            caller.send(None)
        assert done.value.value == 14
        assert sizes == [1]

    async def test_a_caller_is_none_where_others_may_come(self, gate: Gate) -> None:
        others = 2
        coalescer = Coalescer(gate, is_quiet=lambda: others <= 1)
        tasks = [asyncio.create_task(coalescer.ask(number)) for number in range(2)]
        await settle()
        assert gate.batches == [[0, 1]]
        gate.gates[0].set_result(None)
        assert await asyncio.gather(*tasks) == [0, 1]
        others = 1
        task = asyncio.create_task(coalescer.ask(2))
        await settle()
        gate.gates[1].set_result(None)
        assert await task == 2

    async def test_of_many_callers_one_is(self, gate: Gate) -> None:
        """Those that are no requests meet here, too."""
        coalescer = Coalescer(gate, is_quiet=lambda: True)
        tasks = [asyncio.create_task(coalescer.ask(number)) for number in range(5)]
        await settle()
        assert gate.batches == [[0], [1, 2, 3, 4]]
        tasks += await ask_all(coalescer, 2)  # one batch more is in flight, and one waits
        assert gate.batches[2:] == [[0]]
        gate.gates[0].set_result(None)  # nobody waited for the lone one
        await settle()
        assert gate.batches[3:] == []
        gate.gates[1].set_result(None)
        await settle()
        gate.gates[2].set_result(None)
        await settle()
        gate.gates[3].set_result(None)
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4, 0, 1]

    async def test_a_caller_that_was_cancelled_ends_what_it_runs(self, gate: Gate) -> None:
        coalescer = Coalescer(gate, is_quiet=lambda: True)
        task = asyncio.create_task(coalescer.ask(0))
        await settle()
        task.cancel()
        await settle()
        assert task.cancelled()
        assert gate.gates[0].cancelled()
        caller = coalescer.ask(1)  # alone again
        caller.send(None)
        assert gate.batches == [[0], [1]]
        caller.close()

    @pytest.mark.parametrize("late", [False, True])
    async def test_a_caller_gets_its_error(self, *, late: bool) -> None:
        async def fail() -> int:
            raise ValueError("no")

        async def run(_asked: Sequence[int]) -> Sequence[ValueError | asyncio.Task[int]]:
            return [asyncio.create_task(fail()) if late else ValueError("no")]

        coalescer: Coalescer[int, int] = Coalescer(run, is_quiet=lambda: True)
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await coalescer.ask(1)


async def test_waiting_callers_fail_with_a_batch_that_got_no_connection(gate: Gate) -> None:
    """Otherwise each batch would wait as long for a connection as the one before."""
    coalescer = Coalescer(gate)
    tasks = await ask_all(coalescer, 5)
    assert len(gate.gates) == 2
    gate.gates[0].set_exception(Overloaded())
    await settle()
    assert [task.done() for task in tasks] == [True, False, True, True, True]
    for task in (tasks[0], *tasks[2:]):
        with pytest.raises(Overloaded):
            await task
    gate.gates[1].set_result(None)
    assert await tasks[1] == 1
    later = asyncio.create_task(coalescer.ask(7))
    await settle()
    gate.gates[2].set_result(None)
    assert await later == 7


async def test_a_failed_batch_fails_its_own_callers_only(gate: Gate) -> None:
    coalescer = Coalescer(gate)
    first = await ask_all(coalescer, 2)
    gone, same, other = (asyncio.create_task(coalescer.ask(number)) for number in (2, 2, 3))
    await settle()
    gate.gates[0].set_result(None)
    await settle()
    after = asyncio.create_task(coalescer.ask(5))
    await settle()
    gone.cancel()
    error = OSError()
    gate.gates[2].set_exception(error)
    await settle()
    assert gate.batches == [[0], [1], [2, 2, 3], [5]]
    assert gone.cancelled()
    assert [same.exception(), other.exception()] == [error, error]
    gate.gates[1].set_result(None)
    gate.gates[3].set_result(None)
    assert await asyncio.gather(*first, after) == [0, 1, 5]


async def test_what_is_asked_while_a_batch_runs_is_left_to_a_later_batch(gate: Gate) -> None:
    """It would otherwise be read before the caller came."""
    coalescer = Coalescer(gate)
    tasks = await ask_all(coalescer, 2)
    again = asyncio.create_task(coalescer.ask(0))
    await settle()
    assert gate.batches == [[0], [1]]
    gate.gates[0].set_result(None)
    await settle()
    assert gate.batches == [[0], [1], [0]]
    assert not again.done()
    gate.gates[1].set_result(None)
    gate.gates[2].set_result(None)
    assert await asyncio.gather(*tasks, again) == [0, 1, 0]


async def test_cancelled_callers_are_left_out(gate: Gate) -> None:
    tasks = await ask_all(Coalescer(gate), 4)
    tasks[1].cancel()  # its batch is in flight
    tasks[2].cancel()
    await settle()
    for number in range(3):
        gate.gates[number].set_result(None)
        await settle()
    assert [await tasks[0], await tasks[3]] == [0, 3]
    assert gate.batches == [[0], [1], [3]]


async def test_callers_that_are_cancelled_before_their_batch_begins_cost_nothing(
    gate: Gate,
) -> None:
    coalescer = Coalescer(gate)
    gone = asyncio.create_task(coalescer.ask(0))
    await asyncio.sleep(0)
    gone.cancel()
    await settle()
    assert gate.batches == []
    task = asyncio.create_task(coalescer.ask(1))
    await settle()
    gate.gates[0].set_result(None)
    assert await task == 1


async def test_those_behind_a_whole_batch_of_cancelled_callers_are_served(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MAX_BATCH", 3)
    tasks = await ask_all(Coalescer(gate), 7)
    for task in tasks[2:6]:
        task.cancel()
    await settle()
    gate.gates[0].set_result(None)
    gate.gates[1].set_result(None)
    await settle()
    gate.gates[2].set_result(None)
    assert await come(tasks[6]) == 6
    assert gate.batches == [[0], [1], [6]]


async def test_a_slow_batch_does_not_hold_up_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalescing, "SLOW_SECONDS", 0.01)
    lock: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(asked: Sequence[int]) -> Sequence[int]:
        if asked[0] < 2:
            await lock
        return asked

    tasks = await ask_all(Coalescer(run), 5)
    assert await come(asyncio.gather(*tasks[2:])) == [2, 3, 4]
    assert not tasks[0].done()
    lock.set_result(None)
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]


async def test_an_outcome_may_be_a_task() -> None:
    async def fail() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("late")

    async def find() -> int:
        await asyncio.sleep(0.01)
        return 7

    async def run(asked: Sequence[int]) -> Sequence[int | asyncio.Task[int]]:
        late = {1: find, 2: fail}
        return [asyncio.create_task(late[one]()) if one in late else one for one in asked]

    coalescer = Coalescer(run)
    found = await asyncio.gather(*map(coalescer.ask, [0, 5, 1, 2, 3]), return_exceptions=True)
    assert [str(one) for one in found] == ["0", "5", "7", "late", "3"]


async def test_a_task_for_a_cancelled_caller_is_cancelled() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    retries: dict[int, asyncio.Task[int]] = {}

    async def retry(number: int) -> int:
        await second.wait()
        return number

    async def run(asked: Sequence[int]) -> Sequence[asyncio.Task[int]]:
        if list(asked) == [0]:
            await first.wait()
        retries.update((number, asyncio.create_task(retry(number))) for number in asked)
        return [retries[number] for number in asked]

    tasks = await ask_all(Coalescer(run), 3)
    tasks[0].cancel()  # while its batch runs
    tasks[1].cancel()  # while it waits for its task
    await settle()
    first.set()
    await settle()
    second.set()
    assert await come(tasks[2]) == 2
    assert [retries[number].cancelled() for number in range(3)] == [True, True, False]


async def test_a_cancelled_batch_leaves_no_caller_waiting() -> None:
    async def run(_asked: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await come(Coalescer(run).ask(1))


async def test_a_missing_outcome_leaves_no_caller_waiting() -> None:
    async def run(_asked: Sequence[int]) -> Sequence[int]:
        return []

    with pytest.raises(ValueError, match="shorter"):
        await come(Coalescer(run).ask(1))
