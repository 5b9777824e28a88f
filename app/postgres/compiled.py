"""Runs statements again as SQLAlchemy has compiled them, on the driver's own connection.

SQLAlchemy takes three times as long for a statement as the driver. Nearly all of that is the same
each time: the SQL, and how each parameter and each column is converted. A statement that is built
once and run again takes these from its first run.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from sqlalchemy import CursorResult, Executable, Result, Row
from sqlalchemy.engine import Connection, IteratorResult
from sqlalchemy.ext.asyncio import AsyncConnection

Parameters = Mapping[str, Any]


# Events of statements.
_EVENTS = ("before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute")


class CompiledStatements:
    """The statements of an engine in AUTOCOMMIT that have been run."""

    def __init__(self) -> None:
        # None: it has to be compiled each time.
        self._compiled: WeakKeyDictionary[Executable, _Compiled | None] = WeakKeyDictionary()

    async def execute(
        self,
        connection: AsyncConnection,
        driver: Any,
        statement: Executable,
        parameters: Parameters | None,
    ) -> Result[Any]:
        """The result of `connection.execute`, which runs the statement if it is observed.

        driver: the driver's own connection. Errors: those of `connection.execute`.
        """
        given = parameters or {}
        compiled = self._compiled.get(statement)
        if compiled is not None and not is_observed(connection):
            arguments = compiled.arguments(given)
            if arguments is not None:
                try:
                    records = await driver.fetch(compiled.sql, *arguments)
                except BaseException as error:
                    sql = compiled.sql
                    await asyncio.shield(connection.run_sync(_raise, error, sql, arguments))
                return _Records(compiled.metadata, records)
        result = await connection.execute(statement, parameters)
        if statement not in self._compiled:
            self._compiled[statement] = _compiled_from(result, given)
        return result


class _Records(IteratorResult[Any]):
    """The driver's records as SQLAlchemy's rows."""

    def __init__(self, metadata: Any, records: Sequence[Any]) -> None:
        super().__init__(metadata, iter(records))
        self._records = records

    def one_or_none(self) -> Row[Any] | None:
        if len(self._records) != 1 or self._hard_closed:
            return super().one_or_none()
        # As there, without what prepares for more rows.
        self._hard_closed = True
        metadata: Any = self._metadata
        processors, keys = metadata._effective_processors, metadata._key_to_index
        return Row(metadata, processors, keys, self._records[0])


def is_observed(connection: AsyncConnection) -> bool:
    """Whether somebody listens to the statements of a connection: traces, logs."""
    sync: Any = connection.sync_connection
    engine = sync.engine
    return (
        (
            (sync._has_events or engine._has_events)
            and any(getattr(sync.dispatch, e) for e in _EVENTS)
        )
        or bool(engine.dialect.dispatch.do_execute)
        or engine.logger.isEnabledFor(logging.INFO)
    )


class _Compiled:
    """What the first run of a statement has found out.

    names: of the parameters. With others, the SQL could be another.
    order: the name of each argument, with what converts its value for the driver.
    fixed: the values that are a part of the statement.
    metadata: names the columns of the result, and converts their values.
    """

    __slots__ = ("_fixed", "_names", "_order", "metadata", "sql")

    def __init__(
        self,
        sql: str,
        names: frozenset[str],
        order: Sequence[tuple[str, Callable[[Any], Any] | None]],
        fixed: Parameters,
        metadata: Any,
    ) -> None:
        self.sql = sql
        self._names = names
        self._order = order
        self._fixed = fixed
        self.metadata = metadata

    def arguments(self, parameters: Parameters) -> Sequence[Any] | None:
        """The arguments of the driver; None if it is for SQLAlchemy to run the statement."""
        if parameters.keys() != self._names:
            return None
        values = {**self._fixed, **parameters} if self._fixed else parameters
        try:
            return [
                values[name] if convert is None else convert(values[name])
                for name, convert in self._order
            ]
        except Exception:  # SQLAlchemy raises it again, with the statement
            return None


def _compiled_from(result: CursorResult[Any], parameters: Parameters) -> _Compiled | None:
    """From the first result of a statement; None if one run does not settle how the next goes."""
    context: Any = result.context
    compiled = context.compiled
    if (
        not result.returns_rows
        or context.invoked_statement.get_execution_options()
        # The values of some parameters are written into the SQL.
        or compiled.post_compile_params
        or compiled.literal_execute_params
        # Values are made for each run.
        or compiled.prefetch
        or any(parameter.callable is not None for parameter in compiled.binds.values())
    ):
        return None
    converters = compiled._bind_processors
    return _Compiled(
        context.statement,
        frozenset(parameters),
        [(name, converters.get(name)) for name in compiled.positiontup],
        {n: v for n, v in context.compiled_parameters[0].items() if n not in parameters},
        result._metadata,
    )


def _raise(
    connection: Connection, error: BaseException, sql: str, arguments: Sequence[Any]
) -> NoReturn:
    """Raise what `connection.execute` would have raised, after its `handle_error` listeners."""
    adapted: Any = connection.connection.dbapi_connection
    try:
        if isinstance(error, Exception):
            adapted._handle_exception(error)
        raise error
    except BaseException as raised:
        # With SQL, it would also wrap what is not the driver's.
        shown = sql if isinstance(raised, adapted.dbapi.Error) else None
        connection._handle_dbapi_exception(raised, shown, tuple(arguments), None, None)
