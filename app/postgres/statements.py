"""Single statements: how most requests reach the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from sqlalchemy import Executable, Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from app.errors import Overloaded
from app.postgres.coalescing import Coalescer, Outcome
from app.postgres.compiled import CompiledStatements
from app.postgres.engine import RECYCLE_SECONDS, transactional
from app.postgres.retries import retried
from app.postgres.statement_count import count_statement, count_statements

# Seconds that a request waits for a connection.
POOL_WAIT_SECONDS = 2.0
# A connection, the driver's own, and since when it is out of the pool.
Idle = tuple[AsyncConnection, Any, float]

Asked = TypeVar("Asked")
Given = TypeVar("Given")
OnBatch = Callable[[int], object]


class ConnectionQueue(asyncio.Semaphore):
    """Lets as many callers in as there are connections, in the order in which they came.

    SQLAlchemy's pool does not keep an order, so that under load some callers wait for many others.
    Errors: Overloaded after POOL_WAIT_SECONDS.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size
        self.in_use = 0
        self.waiting = 0

    async def acquire(self) -> Literal[True]:
        if self.locked():
            await self._wait()
        else:
            await super().acquire()
        self.in_use += 1
        return True

    def release(self) -> None:
        self.in_use -= 1
        super().release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await super().acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1


class Statements:
    """Runs statements one by one, each in a transaction of its own.

    Connections stay out of the pool between statements: taking one out and putting it back costs
    as much as a statement.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        on_read: OnBatch = lambda _size: None,
        on_insert: OnBatch = lambda _size: None,
        on_update: OnBatch = lambda _size: None,
        requests_in_flight: Callable[[], int] = lambda: 0,
    ) -> None:
        """On an engine in AUTOCOMMIT that has no other users.

        on_read, on_insert, on_update: called with the number of rows of each coalesced statement.
        requests_in_flight: how many there are in this process.
        """
        self._engine = engine
        in_transactions = transactional(engine)
        count_statements(in_transactions)
        # The arguments of a session with transactions.
        self.session_options: dict[str, Any] = {"bind": in_transactions}
        assert isinstance(engine.pool, QueuePool)
        self.queue = ConnectionQueue(engine.pool.size())
        self._idle: list[Idle] = []
        self.compiled = CompiledStatements()
        self._coalescers: dict[object, Coalescer[Any, Any]] = {}
        self.on_read = on_read
        self.on_insert = on_insert
        self.on_update = on_update
        self._requests_in_flight = requests_in_flight

    def coalescer(
        self,
        key: object,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Outcome[Given]]]],
        on_batch: OnBatch,
        distinct_by: Callable[[Asked], object] | None = None,
    ) -> Coalescer[Asked, Given]:
        """The coalescer of this key, made with the other arguments at its first use."""
        found = self._coalescers.get(key)
        if found is None:
            found = self._coalescers[key] = Coalescer(run, on_batch, self._is_quiet, distinct_by)
        return found

    def _is_quiet(self) -> bool:
        return self._requests_in_flight() <= 1

    @retried
    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        count_statement()
        async with self.queue:
            connection, driver, since = await self._take()
            try:
                result = await self.compiled.execute(connection, driver, statement, parameters)
            except BaseException as error:
                # The pool knows which of its connections are still good.
                await asyncio.shield(connection.close())
                if isinstance(error, OSError) or (
                    isinstance(error, DBAPIError) and error.connection_invalidated
                ):
                    await self._close_idle()
                raise
            self._idle.append((connection, driver, since))
            return result

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def reserve(self) -> None:
        """Wait until the pool has a connection for a transaction; `release` when it has ended."""
        await self.queue.acquire()
        try:
            if self._idle:  # the queue lets in as many as there are connections: one is here
                await self._idle.pop()[0].close()
        except BaseException:
            self.queue.release()
            raise

    def release(self) -> None:
        self.queue.release()

    async def close(self) -> None:
        """Close all connections; the next statement would open others."""
        await self._close_idle()
        await self._engine.dispose()

    async def _take(self) -> Idle:
        now = time.monotonic()
        while self._idle:
            connection, driver, since = self._idle.pop()
            # After a restart of the database all are closed. The pool replaces them, and old ones.
            if not driver.is_closed() and now - since < RECYCLE_SECONDS:
                return connection, driver, since
            await connection.close()
        connection = await self._engine.connect()
        return connection, (await connection.get_raw_connection()).driver_connection, now

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop()[0].close()
