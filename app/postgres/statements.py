"""Single statements: how most requests reach the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Executable, Result, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from app.postgres.coalescing import Coalescer, Outcome
from app.postgres.commits import UnknownOutcome
from app.postgres.compiled import CompiledStatements
from app.postgres.connection_queue import ConnectionQueue
from app.postgres.engine import RECYCLE_SECONDS, transactional
from app.postgres.retries import retried
from app.postgres.statement_count import count_statement, count_statements

# A connection, the driver's own, and since when it is out of the pool.
Idle = tuple[AsyncConnection, Any, float]

Asked = TypeVar("Asked")
Given = TypeVar("Given")
OnBatch = Callable[[int], object]


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
        # Whose commits are not answered, and wait for nobody here.
        self._abandoned: set[Any] = set()
        event.listen(engine.sync_engine, "connect", self._adopt)
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
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        writes: bool = False,
    ) -> Result[Any]:
        """The result of a statement.

        writes: whether it writes; one that shows it (INSERT, UPDATE, DELETE) need not be told of.
        """
        count_statement()
        writes = writes or statement.is_dml
        await self.queue.acquire(writes=writes)
        try:
            connection, driver, since = await self._take()
            driver.writes = writes
            try:
                result = await self.compiled.execute(connection, driver, statement, parameters)
                if driver.is_unconfirmed:
                    driver.require_confirmed()
            except BaseException as error:
                # The pool knows which of its connections are still good.
                await asyncio.shield(connection.close())
                if _have_others_failed(error):
                    await self._close_idle()
                raise
            self._idle.append((connection, driver, since))
            return result
        finally:
            self.queue.release(writes=writes)

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def reserve(self, *, writes: bool = True) -> None:
        """Wait until the pool has a connection for a transaction; `release` when it has ended."""
        await self.queue.acquire(writes=writes)
        try:
            if self._idle:  # the queue lets in as many as there are connections: one is here
                await self._idle.pop()[0].close()
        except BaseException:
            self.queue.release(writes=writes)
            raise

    def release(self, *, writes: bool = True) -> None:
        self.queue.release(writes=writes)

    async def close(self) -> None:
        """Close all connections; the next statement would open others."""
        await self._close_idle()
        await self._engine.dispose()
        for driver in tuple(self._abandoned):
            driver.drop()

    def _adopt(self, connection: Any, _entry: object) -> None:
        connection.driver_connection.on_abandoned = self._keep_place

    def _keep_place(self, driver: Any) -> None:
        self._abandoned.add(driver)
        self.queue.keep()
        driver.when_answered(partial(self._give_place_back, driver))

    def _give_place_back(self, driver: Any) -> None:
        self._abandoned.discard(driver)
        self.queue.give_back()

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


def _have_others_failed(error: BaseException) -> bool:
    """Whether other connections are likely to be lost too."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError) and not isinstance(error, UnknownOutcome)
