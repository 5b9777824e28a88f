"""Coalescing: one statement serves the requests that come while earlier ones are running.

Under load a batch of 20 rows costs little more than a single row, in this process and in
PostgreSQL. A lone caller does not wait. A batch starts after all of its callers have asked.
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
    future: asyncio.Future[Given | asyncio.Task[Given]]
    context: Context

    def settle(self, outcome: Outcome[Given]) -> None:
        if self.future.done():  # the caller was cancelled
            if isinstance(outcome, asyncio.Task):
                outcome.cancel()
        elif isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Coalescer(Generic[Asked, Given]):
    """Collects what callers ask for and passes it to `run`, which returns an outcome for each.

    Outcomes are in the order of what was asked. If `run` raises, all callers of the batch get the
    exception. `on_batch` is called with the size of each batch. `max_running` limits the batches
    that run at once, slow ones included.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Outcome[Given]]]],
        on_batch: Callable[[int], object] | None = None,
        max_running: float = math.inf,
    ) -> None:
        self._run = run
        self._max_running = max_running
        self._on_batch = on_batch
        self._waiting: deque[_Call[Asked, Given]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        # With the slow ones: the event loop itself holds only weak references to tasks.
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Given:
        future: asyncio.Future[Given | asyncio.Task[Given]]
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(asked, future, copy_context()))
        count_statement()
        self._start()
        given = await future
        return await given if isinstance(given, asyncio.Task) else given

    def _start(self) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT or len(self._running) >= self._max_running:
            return
        batch: list[_Call[Asked, Given]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            call = self._waiting.popleft()
            if not call.future.done():  # the caller was not cancelled
                batch.append(call)
        if not batch:
            return
        if self._on_batch is not None:
            self._on_batch(len(batch))
        # The statement belongs to the trace of the first caller.
        task = asyncio.create_task(self._serve(batch), context=batch[0].context)
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

    async def _serve(self, batch: Sequence[_Call[Asked, Given]]) -> None:
        stop_statement_count()
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
