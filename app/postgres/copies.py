"""COPY: the rows of a statement as text, in pieces, on connections of its own.

A piece is read only when its reader has taken the one before: PostgreSQL waits for a slow reader,
and no memory is needed for what it has not taken. A copy may take minutes, so it has none of the
connections that requests share. It is one statement, and thereby one snapshot.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import Overloaded
from app.postgres.failures import FAILURES, is_timeout
from app.postgres.statement_count import count_statement

log = structlog.get_logger("satchel.sql")

# In bytes, of a piece for a reader, but for the last one.
PIECE_SIZE = 65_536

Write = Callable[[bytes], Awaitable[None]]
# Makes a connection to a replica; None if there is none that may be read.
Replica = Callable[[], AbstractAsyncContextManager[Any]]


class Copies:
    """Runs as many copies at once as `limit` says."""

    # A stricter transaction would have to remember all rows that it reads, and those who change
    # them meanwhile, or the copy itself, might be refused.
    _transaction: Mapping[str, Any] = {"isolation": "repeatable_read", "readonly": True}

    def __init__(self, engine: AsyncEngine, limit: int, time_limit: float) -> None:
        """On an engine in AUTOCOMMIT that has no other users.

        time_limit: of the server for a copy, in seconds; 0: none.
        """
        self._engine = engine
        self._limit = limit
        # Of each transaction, since a pooler may give it any session. Dates that PostgreSQL writes
        # are ISO 8601, whatever the database is set to.
        self._settings = (
            f"SET LOCAL statement_timeout = {round(time_limit * 1000)}; SET LOCAL DateStyle = 'ISO'"
        )
        self.running = 0

    async def copy(
        self,
        statement: Select[Any],
        parameters: Mapping[str, Any],
        options: Mapping[str, Any],
        write: Write,
        replica: Replica | None = None,
    ) -> int:
        """Write the rows of a statement; their number. A piece ends where a row does.

        options: of COPY, as asyncpg names them. replica: is asked first, if there is one. Errors:
        Overloaded while as many others run as may; those of the database, as the driver raises
        them; and those of `write`.
        """
        if self.running >= self._limit:
            raise Overloaded
        sql, arguments = _compiled(statement, parameters, self._engine)

        async def copy_from(driver: Any, pieces: _Pieces) -> int:
            count_statement()
            log.debug("sql", statement=f"COPY ({' '.join(sql.split())}) TO STDOUT")
            transaction = driver.transaction(**self._transaction)
            await transaction.start()  # what is left of it ends with its connection
            await driver.execute(self._settings)
            status = await driver.copy_from_query(sql, *arguments, output=pieces.add, **options)
            await transaction.commit()
            await pieces.pass_on()
            return int(status.removeprefix("COPY "))

        self.running += 1
        try:
            if replica is not None:
                pieces = _Pieces(write)
                try:
                    async with replica() as driver:
                        if driver is not None:
                            return await copy_from(driver, pieces)
                except FAILURES as error:
                    if pieces.have_begun or is_timeout(error):
                        raise
            async with self._driver() as driver:
                return await copy_from(driver, _Pieces(write))
        finally:
            self.running -= 1

    def _driver(self) -> AbstractAsyncContextManager[Any]:
        return own_driver(self._engine)

    async def close(self) -> None:
        await self._engine.dispose()


@asynccontextmanager
async def own_driver(engine: AsyncEngine) -> AsyncIterator[Any]:
    """A new connection of the driver, which is closed at the end of the block: none is kept for a
    copy that may not come. The statement that it still runs is cancelled before.
    """
    connection = await engine.connect()
    try:
        yield (await connection.get_raw_connection()).driver_connection
    finally:
        await asyncio.shield(_end(connection))


async def _end(connection: AsyncConnection) -> None:
    await connection.invalidate()
    await connection.close()


class _Pieces:
    """Makes few large pieces of many small ones: PostgreSQL sends 8 KiB at a time."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.have_begun = False
        self._pieces: list[bytes] = []
        self._size = 0

    async def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= PIECE_SIZE:
            await self.pass_on()

    async def pass_on(self) -> None:
        self.have_begun = True
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        await self._write(piece)


def _compiled(
    statement: Select[Any], parameters: Mapping[str, Any], engine: AsyncEngine
) -> tuple[str, list[Any]]:
    """The SQL and its arguments, as the driver takes them."""
    compiled: Any = statement.compile(dialect=engine.dialect)
    values = compiled.construct_params(parameters)
    converters = compiled._bind_processors
    return str(compiled), [
        converters[name](values[name]) if name in converters else values[name]
        for name in compiled.positiontup or ()
    ]
