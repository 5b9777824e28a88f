"""Gathers what many callers ask for, so that one statement serves them all.

While a batch is under way, what is asked for meanwhile gathers, and goes out together in the next
one. Under load a batch of 20 costs little more than a single row, on both ends of the connection. A
lone caller waits for nobody, and a batch always starts after its callers came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import Generic, TypeVar

from app.database.tally import count_statement, end_tally
from app.errors import Overloaded

MAX_BATCH = 100
MAX_IN_FLIGHT = 2

Asked = TypeVar("Asked")
Given = TypeVar("Given")


class Batches(Generic[Asked, Given]):
    """Calls `run` with what was asked for; it gives an answer or an error for each, in order.

    What `run` raises, each caller of the batch raises. `on_batch` is told the size of each.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Given | BaseException]]],
        on_batch: Callable[[int], object] = int,
    ) -> None:
        self._run = run
        self._on_batch = on_batch
        # Callers have a future each, so that one that goes away takes no other along.
        self._waiting: list[tuple[Asked, asyncio.Future[Given]]] = []
        self._in_flight: set[asyncio.Task[None]] = set()
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
        if not self._waiting or len(self._in_flight) >= MAX_IN_FLIGHT:
            return
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._on_batch(len(batch))
        task = asyncio.create_task(self._serve(batch), context=self._context)
        self._context = None
        self._in_flight.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._start()

    async def _serve(self, batch: list[tuple[Asked, asyncio.Future[Given]]]) -> None:
        end_tally()
        answers: Sequence[Given | BaseException]
        try:
            answers = await self._run([asked for asked, _ in batch])
        except Exception as error:
            if isinstance(error, Overloaded):
                # It had no turn in all that time: whoever came meanwhile would wait as long again.
                batch += self._waiting
                self._waiting = []
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the caller has gone away
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
