"""Runs again what the database refused only because of what others did at the same time.

PostgreSQL has rolled back a transaction that it ends with a serialization failure or a deadlock,
and asks that it be repeated as a whole. A statement that writes rows of many requests fails for all
of them because of one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError

from app.postgres.coalescing import Outcome
from app.postgres.failures import is_conflict, may_be_committed

T = TypeVar("T")
P = ParamSpec("P")
Asked = TypeVar("Asked")
Given = TypeVar("Given")

MAX_RETRIES: Final = 3
# The longest pause before the first retry. Each further one may be twice as long.
PAUSE_SECONDS: Final = 0.05


async def retry(
    work: Callable[[], Awaitable[T]], may_run_again: Callable[[Exception], bool] = is_conflict
) -> T:
    """The result of a transaction, which runs again if it was rolled back because of another one.

    may_run_again: whether this error lets it.
    """
    retries = 0
    while True:
        try:
            return await work()
        except Exception as error:
            if retries == MAX_RETRIES or not may_run_again(error):
                raise
        # At random, so that those who met do not meet again.
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * 2**retries))  # noqa: S311
        retries += 1


def retried(work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """What calls a function that is a transaction of its own, again if need be."""

    @wraps(work)
    async def run(*args: P.args, **options: P.kwargs) -> T:
        return await retry(partial(work, *args, **options))

    return run


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
        # A second attempt would meet the rows that the first one has written.
        if len(batch) == 1 or may_be_committed(error):
            raise
    return [asyncio.create_task(write_alone(asked)) for asked in batch]
