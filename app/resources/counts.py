"""The number of rows of a list: counted for at most a second, or, of many, the planner's figure."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Select, func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from app.postgres.sessions import RequestSession, execute_read

COUNT_TIMEOUT_SECONDS = 1
# A smaller figure may be that of a table that the planner has not seen.
MIN_ESTIMATE = 10_000
_QUERY_CANCELED = "57014"


async def count_rows(
    session: AsyncSession,
    statement: Select[Any],
    parameters: Mapping[str, Any],
    kind: Literal["none", "exact", "estimated"],
) -> int | None:
    """The number of rows of `statement`; None: not asked for, or not counted in time."""
    if kind == "none":
        return None
    if kind == "exact":
        return await _count(session, statement, parameters)
    estimate = await _estimate(session, statement, parameters)
    if estimate >= MIN_ESTIMATE:
        return estimate
    count = await _count(session, statement, parameters)
    return estimate if count is None else count


async def _estimate(
    session: AsyncSession, statement: Select[Any], parameters: Mapping[str, Any]
) -> int:
    found = await execute_read(session, Explain(statement), parameters)
    plan: Any = found.scalar()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return int(plan[0]["Plan"]["Plan Rows"])


async def _count(
    session: AsyncSession, statement: Select[Any], parameters: Mapping[str, Any]
) -> int | None:
    counting = statement.with_only_columns(func.count(), maintain_column_froms=True)
    if isinstance(session, RequestSession):
        session.only_reads = True
    begin = session.begin_nested if session.in_transaction() else session.begin
    try:
        async with begin() as transaction:
            timeout = f"SET LOCAL statement_timeout = '{COUNT_TIMEOUT_SECONDS}s'"
            await session.execute(text(timeout))
            count: int | None = await session.scalar(counting, parameters)
            await transaction.rollback()  # and with it the timeout
    except DBAPIError as error:
        if getattr(error.driver_exception, "sqlstate", None) != _QUERY_CANCELED:
            raise
        return None
    return count


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement, as JSON."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explain)
def _compile_explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.statement, **options)
