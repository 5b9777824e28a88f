"""Runs again what the database refused only because of what others did at the same time.

PostgreSQL has rolled back a transaction that it ends with a serialization failure or a deadlock,
and asks that it be repeated as a whole. A statement that writes rows of many requests fails for all
of them because of one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from app.postgres.coalescing import Outcome
from app.postgres.failures import is_conflict
from app.postgres.sessions import RequestSession
from app.postgres.statements import Statements

T = TypeVar("T")
Asked = TypeVar("Asked")
Given = TypeVar("Given")

MAX_RETRIES: Final = 3
# The longest pause before the first retry. Each further one may be twice as long.
PAUSE_SECONDS: Final = 0.05


async def run_in_session(
    statements: Statements, work: Callable[[RequestSession], Awaitable[T]], *, repeatable: bool
) -> T:
    """The result of the work, once its session is committed.

    repeatable: whether the work may run again, each time with a new session. It does not if it has
    committed anything.
    """
    retries = 0
    while True:
        session = RequestSession(statements)
        try:
            result = await work(session)
            if session.has_begun:
                await session.finish()
        except DBAPIError as error:
            if (
                not repeatable
                or retries == MAX_RETRIES
                or session.has_committed
                or not is_conflict(error)
            ):
                raise
        else:
            return result
        finally:
            if session.has_begun:
                await session.discard()
        # At random, so that those who met do not meet again.
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * 2**retries))  # noqa: S311
        retries += 1


async def write_together(
    write: Callable[[Sequence[Asked]], Awaitable[Sequence[Given]]], batch: Sequence[Asked]
) -> Sequence[Outcome[Given]]:
    """What `write` returns for a batch. If it fails, each of the batch is written alone, gets its
    own error, and waits for no other row.
    """

    async def write_alone(asked: Asked) -> Given:
        (given,) = await write([asked])
        return given

    try:
        return await write(batch)
    except DBAPIError as error:
        # After a lost connection it is unknown whether the rows were written. A second attempt
        # would meet those that were.
        if len(batch) == 1 or error.connection_invalidated:
            raise
    return [asyncio.create_task(write_alone(asked)) for asked in batch]
