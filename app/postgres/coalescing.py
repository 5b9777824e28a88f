"""Coalescing: one statement serves the requests that come while earlier ones are running.

Under load a batch of 20 rows costs little more than a single row, in this process and in
PostgreSQL. A lone caller does not wait, and costs what it would without coalescing. A batch starts
after all of its callers have asked.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from app.errors import Overloaded
from app.postgres.statement_count import count_statement, stop_statement_count

MAX_BATCH = 100
# More batches at once are smaller and cost more CPU: 10 to 30 % with 4, 50 % and more with 8.
MAX_IN_FLIGHT = 2
# A batch that takes longer may be waiting for a row lock. It no longer counts as in flight, so that
# it holds up other rows no longer than this. The connection pool limits the number of such batches.
SLOW_SECONDS = 0.1

Asked = TypeVar("Asked")
Given = TypeVar("Given")

# What a batch yields for one of its callers: a result, an error, or a task that the caller awaits.
Outcome: TypeAlias = Given | Exception | asyncio.Task[Given]


@dataclass(slots=True, eq=False)
class _Call(Generic[Asked, Given]):
    """`future` is the caller's own: cancelling one caller leaves the others alone."""

    asked: Asked
    future: asyncio.Future[Outcome[Given]]
    context: Context

    def settle(self, outcome: Outcome[Given]) -> None:
        if not self.future.done():
            self.future.set_result(outcome)
        elif isinstance(outcome, asyncio.Task):  # the caller was cancelled
            outcome.cancel()


class Coalescer(Generic[Asked, Given]):
    """Collects what callers ask for and passes it to `run`, which returns an outcome for each.

    Outcomes are in the order of what was asked. If `run` raises, all callers of the batch get the
    exception. `on_batch` is called with the size of each batch. `is_quiet` tells whether others are
    unlikely to come; then a caller who meets nobody runs alone. Of those for whom `distinct_by`
    returns the same, a batch has one; the others are left to later batches, in order. `max_running`
    limits the batches that run at once, slow ones included.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Outcome[Given]]]],
        on_batch: Callable[[int], object] = lambda _size: None,
        is_quiet: Callable[[], bool] = lambda: False,
        distinct_by: Callable[[Asked], object] | None = None,
        max_running: float = math.inf,
    ) -> None:
        self._run = run
        self._on_batch = on_batch
        self._is_quiet = is_quiet
        self._distinct_by = distinct_by
        self._max_running = max_running
        self._has_lone_caller = False
        self._waiting: deque[_Call[Asked, Given]] = deque()
        # Whether a batch is about to begin, and to take those who wait.
        self._is_due = False
        self._in_flight: set[asyncio.Task[None]] = set()
        # With the slow ones: the event loop itself holds only weak references to tasks.
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Given:
        is_idle = not (self._has_lone_caller or self._waiting or self._running)
        if is_idle and self._is_quiet():
            outcome = await self._run_alone(asked)
        else:
            outcome = await self._join(asked)
        if isinstance(outcome, Exception):
            raise outcome
        return await outcome if isinstance(outcome, asyncio.Task) else outcome

    async def _run_alone(self, asked: Asked) -> Outcome[Given]:
        """Without a task of its own. It holds up no batch, so it need not become a slow one."""
        self._has_lone_caller = True
        try:
            self._on_batch(1)
            (outcome,) = await self._run([asked])
        finally:
            self._has_lone_caller = False
        return outcome

    def _join(self, asked: Asked) -> asyncio.Future[Outcome[Given]]:
        future: asyncio.Future[Outcome[Given]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(asked, future, copy_context()))
        count_statement()
        self._start()
        return future

    def _start(self) -> None:
        """Start a batch if somebody waits and there is room for it.

        It begins in the next turn of the event loop, and takes all who came until then.
        """
        if (
            self._is_due
            or not self._waiting
            or len(self._in_flight) >= MAX_IN_FLIGHT
            or len(self._running) >= self._max_running
        ):
            return
        self._is_due = True
        # The statement belongs to the trace of the first caller.
        task = asyncio.create_task(self._serve(), context=self._waiting[0].context)
        self._in_flight.add(task)
        self._running.add(task)
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._make_room, task)
        task.add_done_callback(partial(self._finish, timer))

    def _finish(self, timer: asyncio.TimerHandle, task: asyncio.Task[None]) -> None:
        timer.cancel()
        self._running.discard(task)
        self._make_room(task)

    def _make_room(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._start()

    def _take(self) -> list[_Call[Asked, Given]]:
        batch: dict[object, _Call[Asked, Given]] = {}
        left: list[_Call[Asked, Given]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            call = self._waiting.popleft()
            if call.future.done():  # the caller was cancelled
                continue
            key = call if self._distinct_by is None else self._distinct_by(call.asked)
            if batch.setdefault(key, call) is not call:
                left.append(call)
        self._waiting.extendleft(reversed(left))
        return list(batch.values())

    async def _serve(self) -> None:
        self._is_due = False
        batch = self._take()
        self._start()  # for those who are left
        if not batch:
            return
        stop_statement_count()
        self._on_batch(len(batch))
        try:
            outcomes = await self._run([call.asked for call in batch])
            for call, outcome in zip(batch, outcomes, strict=True):
                call.settle(outcome)
        except Exception as error:
            if isinstance(error, Overloaded):
                # No connection became free in time. Those who wait would wait as long again.
                batch = [*batch, *self._waiting]
                self._waiting.clear()
            for call in batch:
                call.settle(error)
        except BaseException:  # this task was cancelled
            for call in batch:
                call.future.cancel()
            raise
