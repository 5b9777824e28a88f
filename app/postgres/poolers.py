"""Finds poolers that share the sessions of PostgreSQL, such as PgBouncer in transaction mode.

Such a pooler runs each transaction in whichever session is free. What a session keeps is lost for
the next transaction of a connection, and is there for those of others: settings, prepared
statements, advisory locks.
"""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.postgres.commits import Connection
from app.postgres.loop_timeout import loop_timeout

log = structlog.get_logger("satchel.database")

Connect = Callable[..., Awaitable[Any]]

# For the first connection, to be compared with a second one.
EXAMINATION_SECONDS: Final = 2.0
# How often the sessions of two connections are compared.
ROUNDS: Final = 10
# What PgBouncer says of a parameter that it cannot set for each transaction.
_REFUSAL: Final = "unsupported startup parameter"


class PoolerFound(ConnectionError):
    """A pooler is in the way of a session. The message says what to set."""


class PooledConnection(Connection):
    """A connection of the driver through a pooler.

    The driver looks types up that it does not know, such as arrays, and sets `jit` meanwhile. In a
    transaction, this reaches one session, which then is as it was.
    """

    async def _introspect_types(self, *arguments: Any) -> Any:
        inherited: Any = super()
        async with self.transaction():
            return await inherited._introspect_types(*arguments)

    def get_settings(self) -> Any:
        """None. A pooler repeats what its first session reported, such as that it was on a standby.
        Without that, the driver asks whether the host is what `target_session_attrs` wants.
        """
        return SimpleNamespace()


def give_sessions_back(engine: AsyncEngine) -> None:
    """Hold no session of a pooler after an argument that cannot be sent."""
    event.listen(engine.sync_engine, "handle_error", _end_statement)


def _end_statement(context: ExceptionContext) -> None:
    """The driver prepares a statement before it refuses an argument. It does not send the rest, at
    the end of which the pooler would take the session back.
    """
    if isinstance(context.original_exception.__cause__, asyncpg.DataError):
        assert context.connection is not None
        driver: Any = context.connection.connection.driver_connection
        if not driver.is_in_transaction():  # whose end comes anyway
            await_only(driver.execute("SELECT"))


class OwnSessions:
    """Makes connections, each of which must have a session of its own.

    Only the first one is examined: a query more for each would tell no more.
    """

    def __init__(self, connect: Connect, advice: str, *, logs: bool) -> None:
        """connect: makes connections of the driver, in limited time.
        advice: what to set if a pooler shares sessions; `logs`: whether that is logged, once.
        """
        self._connect = connect
        self._advice = advice
        self._logs = logs
        self._is_sure = False

    async def connect(self, *args: Any, **options: Any) -> Any:
        """A connection of the driver. Errors: PoolerFound, and those of the driver."""
        try:
            connection = await self._connect(*args, **options)
        except asyncpg.ProtocolViolationError as error:
            if _REFUSAL in str(error):
                raise self._found() from None
            raise
        try:
            if not self._is_sure and await self._is_shared(connection, *args, **options):
                raise self._found()
        except BaseException:
            connection.terminate()
            raise
        self._is_sure = True
        return connection

    async def _is_shared(self, connection: Any, *args: Any, **options: Any) -> bool:
        async with loop_timeout(EXAMINATION_SECONDS):
            if not await is_proxied(connection):
                return False
            other = await self._connect(*args, **options)
            try:
                return await share_sessions(connection, other)
            finally:
                other.terminate()

    def _found(self) -> PoolerFound:
        if self._logs:
            log.error("pooler found", advice=self._advice)
            self._logs = False
        return PoolerFound(self._advice)


async def is_proxied(connection: Any) -> bool:
    """Whether something between answers in PostgreSQL's name.

    That makes up the process id that a driver gets at its login, to which it would send cancel
    requests. Some of what does so gives each connection its own session nevertheless.
    """
    process: int = connection.get_server_pid()
    return await _process_of(connection) != process


async def share_sessions(connection: Any, other: Any) -> bool:
    """Whether two connections of the driver, both outside of transactions, get the same sessions in
    turn.
    """
    first = await _process_of(connection)
    for _ in range(ROUNDS):
        if await _process_of(other) == first or await _process_of(connection) != first:
            return True
    return False


async def _process_of(connection: Any) -> int:
    """The process of the session that runs this. COPY needs no prepared statement."""
    pieces: list[bytes] = []

    async def keep(piece: bytes) -> None:
        pieces.append(piece)

    await connection.copy_from_query("SELECT pg_backend_pid()", output=keep)
    return int(b"".join(pieces))
