"""How many rows a list has: counted with patience of a second, or as the planner sees it."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Select, func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from app.postgres.statements import Statements

PATIENCE = "1s"


async def count_rows(
    session: Statements,
    statement: Select[Any],
    parameters: Mapping[str, Any],
    kind: Literal["none", "exact", "estimated"],
) -> int | None:
    """The number of rows of `statement`; None: not asked for, or not known within a second."""
    if kind == "none":
        return None
    if kind == "estimated":
        plan = await session.scalar(Explain(statement), parameters)
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return int(plan[0]["Plan"]["Plan Rows"])
    counting = statement.with_only_columns(func.count(), maintain_column_froms=True)
    try:
        async with session.begin() as transaction:
            await transaction.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}'"))
            count: int | None = await transaction.scalar(counting, parameters)
    except DBAPIError as error:
        if getattr(error.driver_exception, "sqlstate", None) != "57014":  # query_canceled
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
