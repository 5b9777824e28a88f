"""Sessions, on which services run their statements.

A service gets an `AsyncSession`, on which everything that SQLAlchemy documents works. Most requests
need one statement. A transaction would add two round trips to it, and an identity map a third of
its time, so both are made when they are first needed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Executable, Result, Select, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.selectable import ForUpdateArg
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from app.postgres.failures import is_conflict
from app.postgres.replicas import Replicas
from app.postgres.retries import retry
from app.postgres.statements import Statements

T = TypeVar("T")
# What a transaction begins with.
Start = Callable[[], Awaitable[None]]


class RequestSession(AsyncSession):
    """The session of one request.

    A SELECT of columns that neither locks nor writes runs alone, in AUTOCOMMIT. Everything else (a
    write, `add`, `get`, `begin`, an ORM query) begins a transaction, in which all later statements
    run too; `finish` commits it.
    """

    def __init__(self, statements: Statements, replicas: Replicas | None = None) -> None:
        """replicas: answer reads that may be older than what is committed."""
        # The base class is initialized by `sync_session`.
        self._statements = statements
        self.replicas = replicas
        self._orm: Session | None = None
        self._has_written = False
        # Whether it has had a transaction.
        self.is_transactional = False
        # Whether anything that it did can no longer be undone.
        self.has_committed = False
        # Whether the transaction to come writes nothing.
        self.only_reads = False
        self._start: Start | None = None

    @property
    def sync_session(self) -> Session:
        if self._orm is None:
            self._refuse_after_write()
            self.is_transactional = True
            super().__init__(
                sync_session_class=_OrmSession,
                statements=self._statements,
                owner=self,
                expire_on_commit=False,
                **self._statements.session_options,
            )
        assert self._orm is not None
        return self._orm

    @sync_session.setter
    def sync_session(self, session: Session) -> None:
        self._orm = session

    @property
    def _proxied(self) -> Session:
        return self.sync_session

    @_proxied.setter
    def _proxied(self, session: Session) -> None:
        self._orm = session

    @property
    def has_begun(self) -> bool:
        """Whether there is a transaction, or an identity map, to finish or to discard."""
        return self._orm is not None

    @property
    def autocommit(self) -> Statements | None:
        """Runs statements outside of a transaction; None once the session has begun one."""
        return self._statements if self._orm is None else None

    @property
    def has_only_read(self) -> bool:
        """Whether it has neither written nor begun a transaction."""
        return self._orm is None and not self._has_written

    async def write_alone(self, write: Callable[[Statements], Awaitable[T]]) -> T:
        """Run a write outside of a transaction, as the only one of its request.

        Errors: InvalidRequestError for a second one.
        """
        self._refuse_after_write()
        self._has_written = True
        result = await write(self._statements)
        self.has_committed = True
        return result

    def _refuse_after_write(self) -> None:
        """A write that ran alone is committed: a failure later in the request cannot undo it."""
        if self._has_written:
            raise InvalidRequestError(
                "This request has written without a transaction. If it does more,"
                " all of it belongs in `async with session.begin()`."
            )

    async def execute(self, statement: Executable, params: Any = None, **options: Any) -> Any:
        if self._orm is None and not options and _is_plain_read(statement):
            return await self._statements.execute(statement, params)
        return await super().execute(statement, params, **options)

    async def scalar(self, statement: Executable, params: Any = None, **options: Any) -> Any:
        return (await self.execute(statement, params, **options)).scalar()

    async def scalars(self, statement: Executable, params: Any = None, **options: Any) -> Any:
        return (await self.execute(statement, params, **options)).scalars()

    async def begin_with(self, start: Start) -> None:
        """Begin a transaction with what `start` runs. `outside_transaction` may run it again."""
        self._start = start
        await start()
        orm = self.sync_session  # made here if `start` runs nothing
        assert isinstance(orm, _OrmSession)
        orm.is_used = False

    @asynccontextmanager
    async def outside_transaction(self) -> AsyncIterator[None]:
        """See the function of this name."""
        if self._orm is None:
            yield
            return
        assert isinstance(self._orm, _OrmSession)
        if (start := self._start) is None or self._orm.holds_work:
            raise InvalidRequestError(
                "This would wait in a transaction for something other than the database."
            )
        await self.discard()
        yield
        await self.begin_with(start)

    async def finish(self) -> None:
        """Commit what the session has begun. Errors: those of the database."""
        if self._orm is not None:
            try:
                await self.commit()
            finally:
                await self.discard()

    async def discard(self) -> None:
        """Roll back what is not committed, and give the connection back."""
        if isinstance(self._orm, _OrmSession):
            await asyncio.shield(self._close(self._orm))

    async def _close(self, orm: "_OrmSession") -> None:
        try:
            await self.close()
        finally:
            if orm.has_connection:
                self._statements.release(writes=orm.writes)
            self._orm = None


class _OrmSession(Session):
    """Waits for its connection in the same queue as single statements do."""

    def __init__(self, *, statements: Statements, owner: RequestSession, **options: Any) -> None:
        super().__init__(**options)
        self._statements = statements
        self.owner = owner
        self.writes = not owner.only_reads
        self.has_connection = False
        self.is_used = False

    @property
    def holds_work(self) -> bool:
        """Whether a rollback would lose more than what the transaction began with."""
        return self.is_used or any((self.new, self.dirty, self.deleted))

    def get_bind(self, *args: Any, **options: Any) -> Any:
        """Called before each statement. Outside of a greenlet no statement follows."""
        self.is_used = True
        if not self.has_connection and in_greenlet():
            await_only(self._statements.reserve(writes=self.writes))
            self.has_connection = True
        return super().get_bind(*args, **options)


@event.listens_for(_OrmSession, "after_commit")
def _note_commit(orm: _OrmSession) -> None:
    if not orm.in_nested_transaction():
        orm.owner.has_committed = True


def outside_transaction(session: AsyncSession) -> AbstractAsyncContextManager[None]:
    """For what a service waits for besides the database, before it reads or writes.

    A transaction would hold a connection meanwhile. One that has only begun, for an
    Idempotency-Key, is rolled back before and begun again after.
    Errors: InvalidRequestError if the transaction has gone on.
    """
    if isinstance(session, RequestSession):
        return session.outside_transaction()
    return nullcontext()  # whoever made the session knows how long it may hold its connection


async def begin_with(session: AsyncSession, start: Start) -> None:
    """Begin a transaction with what `start` runs, and again where that is interrupted."""
    if isinstance(session, RequestSession):
        await session.begin_with(start)
    else:
        await start()


async def undo(session: AsyncSession) -> None:
    """Roll back all that the session has done."""
    if isinstance(session, RequestSession):
        await session.discard()
    else:
        await session.rollback()


@asynccontextmanager
async def request_session(
    statements: Statements, replicas: Replicas | None = None
) -> AsyncIterator[RequestSession]:
    """A session that is committed where the block ends, and rolled back where it raises."""
    session = RequestSession(statements, replicas)
    try:
        yield session
        await session.finish()
    finally:
        await session.discard()


async def run_in_session(
    statements: Statements,
    work: Callable[[RequestSession], Awaitable[T]],
    *,
    repeatable: bool,
    replicas: Replicas | None = None,
) -> T:
    """The result of the work, once its session is committed.

    repeatable: whether the work may run again, each time with a new session. It does not if it has
    committed anything, nor for a statement outside of a transaction, which runs again by itself.
    """
    session: RequestSession

    def may_run_again(error: Exception) -> bool:
        is_undone = session.is_transactional and not session.has_committed
        return repeatable and is_undone and is_conflict(error)

    async def run() -> T:
        nonlocal session
        session = RequestSession(statements, replicas)
        try:
            result = await work(session)
            if session.has_begun:
                await session.finish()
        finally:
            if session.has_begun:
                await session.discard()
        return result

    return await retry(run, may_run_again)


async def execute_read(
    session: AsyncSession, statement: Executable, parameters: Any = None
) -> Result[Any]:
    """Run a statement that is known to write nothing: alone, or in the session's transaction."""
    if isinstance(session, RequestSession) and session.autocommit is not None:
        return await session.autocommit.execute(statement, parameters)
    return await session.execute(statement, parameters)


async def execute_list(
    session: AsyncSession, statement: Executable, parameters: Any = None
) -> Result[Any]:
    """Run the read of a list: on a replica that is fresh enough, or as `execute_read` does."""
    if (
        isinstance(session, RequestSession)
        and session.replicas is not None
        and session.has_only_read
    ):
        result = await session.replicas.execute(statement, parameters)
        if result is not None:
            return result
    return await execute_read(session, statement, parameters)


async def execute_only_write(
    session: AsyncSession, statement: Executable, parameters: Any = None
) -> Result[Any]:
    """Run the only write of a request: alone, or in the session's transaction."""
    if isinstance(session, RequestSession) and session.autocommit is not None:
        return await session.write_alone(
            lambda alone: alone.execute(statement, parameters, writes=True)
        )
    return await session.execute(statement, parameters)


def _is_plain_read(statement: Executable) -> bool:
    """A SELECT of columns and not of ORM entities, without locks, CTEs that write, or raw SQL."""
    return (
        isinstance(statement, Select)
        and not any("entity" in column for column in statement.column_descriptions)
        and not any(
            isinstance(element, UpdateBase | ForUpdateArg | TextClause)
            for element in iterate(statement)
        )
    )
