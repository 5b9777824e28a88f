"""Reads of replicas: the primary answers whatever they cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import URL, Executable, Result, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.config import Settings
from app.errors import Overloaded
from app.postgres.background import running
from app.postgres.compiled import CompiledStatements
from app.postgres.copies import own_driver
from app.postgres.engine import make_engine, make_export_engine, make_probe
from app.postgres.failures import FAILURES, is_timeout
from app.postgres.freshness import Freshness
from app.postgres.statements import Statements
from app.postgres.watchdog import watchdog

POSITION_TIMEOUT_SECONDS: Final = 1.0
# Not run: looks at the replica of a connection.
_LOOK: Final = text("")


class Replicas:
    """Runs reads whose rows may be as old as is allowed."""

    def __init__(
        self,
        engine: AsyncEngine,
        exporting: AsyncEngine,
        freshness: Freshness,
        on_read: Callable[[bool], object] = lambda _by_replica: None,
    ) -> None:
        """On engines in AUTOCOMMIT that have no other users, the second one for copies.

        on_read: called with whether a replica has answered.
        """
        self._statements = Statements(engine)
        self._statements.compiled = _OnFreshReplicas(freshness)
        self._exporting = exporting
        self._freshness = freshness
        self._on_read = on_read

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[Any] | None:
        """The result of a read; None: the primary has to be asked.

        Errors: DBAPIError for a statement that takes too long, as it would there.
        """
        result = await self._try(statement, parameters)
        self._on_read(result is not None)
        return result

    async def _try(
        self, statement: Executable, parameters: Mapping[str, Any] | None
    ) -> Result[Any] | None:
        if not self._freshness.is_possible:
            return None
        try:
            found: Result[Any] | None = await self._statements.execute(statement, parameters)
        except (*FAILURES, Overloaded) as error:
            if isinstance(error, DBAPIError) and is_timeout(error):
                raise
            self._freshness.note_failure(error)
            return None
        return found

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """A new connection of the driver for a copy, closed at the end of the block; None if no
        replica is fresh enough. Errors: those of the database.
        """
        is_read = False
        try:
            if not self._freshness.is_possible:
                yield None
                return
            async with own_driver(self._exporting) as driver:
                is_read = await self._freshness.is_fresh(driver)
                yield driver if is_read else None
        except FAILURES as error:
            if not is_timeout(error):
                is_read = False
                self._freshness.note_failure(error)
            raise
        finally:
            self._on_read(is_read)

    async def follow(self) -> None:
        """Look at one of the replicas again and again, for ever, also where nobody reads."""
        while True:
            await self._try(_LOOK, None)
            await asyncio.sleep(self._freshness.interval)

    async def close(self) -> None:
        await self._statements.close()
        await self._exporting.dispose()


@asynccontextmanager
async def reading_replicas(
    primary: URL,
    settings: Settings,
    *,
    observe: Callable[[AsyncEngine], object],
    on_read: Callable[[bool], object],
    on_lag: Callable[[float], object],
) -> AsyncIterator[Replicas | None]:
    """The replicas of the settings, followed as long as the block runs; None if there are none.

    observe: called with the engine of single statements. on_read, on_lag: see `Replicas` and
    `Freshness`.
    """
    url = settings.replica_url
    if url is None:
        yield None
        return
    quick = settings.model_copy(
        update={"pool_size": 1, "statement_timeout": POSITION_TIMEOUT_SECONDS}
    )
    following = make_engine(primary, quick, autocommit=True)
    engine = make_engine(url, settings, autocommit=True, for_replica=True)
    exporting = make_export_engine(url, settings, for_replica=True)
    observe(engine)
    freshness = Freshness(following, settings.replica_max_lag, on_lag)
    replicas = Replicas(engine, exporting, freshness, on_read)
    try:
        async with (
            watchdog(
                [engine, exporting], make_probe(url, settings, for_replica=True), server="replica"
            ),
            running(freshness.follow()),
            running(replicas.follow()),
        ):
            yield replicas
    finally:
        await replicas.close()
        await following.dispose()


class _OnFreshReplicas(CompiledStatements):
    """Runs a statement if the replica of its connection is fresh enough; else gives None."""

    def __init__(self, freshness: Freshness) -> None:
        super().__init__()
        self._freshness = freshness

    async def execute(
        self,
        connection: AsyncConnection,
        driver: Any,
        statement: Executable,
        parameters: Mapping[str, Any] | None,
    ) -> Any:
        if not await self._freshness.is_fresh(driver) or statement is _LOOK:
            return None
        return await super().execute(connection, driver, statement, parameters)
