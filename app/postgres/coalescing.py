"""Gathers what many callers ask for, so that one statement serves them all.

While a batch is under way, what is asked for meanwhile gathers, and goes out together in the next
one. Under load a batch of 20 costs little more than a single row, on both ends of the connection. A
lone caller waits for nobody, and a batch always starts after its callers came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from app.errors import Overloaded
from app.postgres.statement_count import count_statement, stop_statement_count

MAX_BATCH = 100
# Batches under way, before the next one waits for them. One that takes longer than `SLOW` seconds,
# because it waits for a lock perhaps, is not waited for: the pool sets a bound to those.
MAX_IN_FLIGHT = 2
SLOW = 0.1

Asked = TypeVar("Asked")
Given = TypeVar("Given")


# What becomes of one thing that was asked for.
Answer: TypeAlias = Given | BaseException | asyncio.Task[Given]


class Batches(Generic[Asked, Given]):
    """Calls `run` with what was asked for; it gives an answer for each, in order: what it found, an
    error, or a task that will tell.

    What `run` raises, each caller of the batch raises. `on_batch` is told the size of each.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer[Given]]]],
        on_batch: Callable[[int], object] = int,
    ) -> None:
        self._run = run
        self._on_batch = on_batch
        # Callers have a future each, so that one that goes away takes no other along.
        self._waiting: list[tuple[Asked, asyncio.Future[Given]]] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        # Nobody waits for these; a task that nobody holds may be lost.
        self._slow: set[asyncio.Task[Any]] = set()
        # Of the first caller that waits: a statement belongs to the trace of one of its callers.
        self._context: Context | None = None

    async def ask(self, asked: Asked) -> Given:
        future: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        count_statement()
        if self._context is None:
            self._context = copy_context()
        self._start()
        return await future

    def _start(self) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        batch = [one for one in batch if not one[1].done()]  # who is done has gone away
        if not batch:
            return
        self._on_batch(len(batch))
        task = asyncio.create_task(self._serve(batch), context=self._context)
        self._context = None
        self._in_flight.add(task)
        overlook = asyncio.get_running_loop().call_later(SLOW, self._overlook, task)
        task.add_done_callback(lambda task: self._finish(task, overlook))

    def _finish(self, task: asyncio.Task[None], overlook: asyncio.TimerHandle) -> None:
        overlook.cancel()
        self._in_flight.discard(task)
        self._slow.discard(task)
        self._start()

    def _overlook(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._slow.add(task)
        self._start()

    async def _serve(self, batch: list[tuple[Asked, asyncio.Future[Given]]]) -> None:
        stop_statement_count()
        answers: Sequence[Answer[Given]]
        try:
            answers = await self._run([asked for asked, _ in batch])
        except BaseException as error:
            if isinstance(error, Overloaded):
                # It had no turn in all that time: whoever came meanwhile would wait as long again.
                batch += self._waiting
                self._waiting = []
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, asyncio.Task):
                self._slow.add(answer)
                answer.add_done_callback(partial(self._settle_late, future))
            else:
                _settle(future, answer)

    def _settle_late(self, future: asyncio.Future[Given], task: asyncio.Task[Given]) -> None:
        self._slow.discard(task)
        _settle(future, task.exception() or task.result())


def _settle(future: asyncio.Future[Given], answer: Given | BaseException) -> None:
    if future.done():  # the caller has gone away
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
