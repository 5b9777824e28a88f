"""Imports of rows: staged in a temporary table, then written by one statement of each kind."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import IO, Any

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateTable

from app.errors import Fault, FaultCode, ImportRejected, TransactionConflict
from app.postgres.failures import is_deadlock
from app.postgres.time_limits import set_time_limit, waiting_longer
from app.resources.constraints import conflicts
from app.resources.import_statements import Statements
from app.resources.imports import MAX_FAULTS, Importable, Options, Report, Upload

_PIECE = 2**18
# How often rows are compared with those of others that are written at the same time.
ATTEMPTS = 5
_DETAILS: Mapping[str, str] = {
    "taken": "A row that is there has this value.",
    "twice": "The file has this value before.",
    "unknown": "No row has this value.",
    "other": "Another row that is there has this value than has the id.",
}


async def write_upload(
    session: AsyncSession,
    importable: Importable[Any],
    upload: Upload,
    options: Options,
    time_limit: float,
) -> Report:
    """Write an upload in the transaction of the session; each statement may take `time_limit`
    seconds.

    Errors: ImportRejected, TransactionConflict, and those of the database.
    """
    await session.execute(select(set_time_limit(time_limit)))
    upload.staged.seek(0)
    async with waiting_longer(session, time_limit):
        report = await write(
            await session.connection(),
            importable,
            _pieces(upload.staged),
            options,
            has_bad=bool(upload.rejected),
        )
    report.rows = upload.rows
    report.rejected += upload.rejected
    found = sorted((*upload.faults, *report.errors), key=lambda fault: fault["row"])
    report.errors = found[:MAX_FAULTS]
    if report.rejected and not options.skips_bad:
        raise ImportRejected({**asdict(report), "errors": []}, report.errors)
    return report


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


async def write(
    connection: AsyncConnection,
    importable: Importable[Any],
    staged: AsyncIterable[bytes],
    options: Options,
    *,
    has_bad: bool = False,
) -> Report:
    """Write staged rows in the transaction of the connection, which the caller ends.

    The report counts the rows that are rejected here. If there are any, or the file `has_bad` rows
    that were not staged, and bad rows are not skipped, nothing is written.
    staged: lines of COPY's text format, with the columns of `Statements.staged`.
    Errors: TransactionConflict, where others keep writing the same rows, and those of the database.
    """
    statements = _statements_of(importable)
    for table in (statements.staged, statements.plan):
        # Made once in a transaction, which keeps its locks on tables that it has dropped.
        await connection.execute(CreateTable(table, if_not_exists=True))
    await connection.execute(text(f"TRUNCATE {statements.staged.name}, {statements.plan.name}"))
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_to_table(statements.staged.name, source=staged, schema_name="pg_temp")
    for name in importable.lookups:
        await connection.execute(statements.looking_up(name))
    await connection.execute(text(f"ANALYZE {statements.staged.name}"))
    for _ in range(ATTEMPTS):
        try:
            async with connection.begin_nested():
                with conflicts(dict.fromkeys(importable.resource.problems, TransactionConflict)):
                    return await _write(connection, statements, options, has_bad=has_bad)
        except TransactionConflict:
            continue
        except DBAPIError as error:
            # A serialization failure comes from the snapshot, which lasts as the transaction does.
            if not is_deadlock(error):
                raise
    raise TransactionConflict


async def _write(
    connection: AsyncConnection, statements: Statements, options: Options, *, has_bad: bool
) -> Report:
    """Errors: TransactionConflict, where others have written since the rows were compared."""
    await connection.execute(statements.planning(options.on_conflict))
    rejected, new, there = (await connection.execute(statements.counting())).one()
    report = Report(rejected=rejected)
    if rejected:
        found = await connection.execute(statements.faults(options.max_faults))
        report.errors = [_row_fault(row, *fault.split(" ")) for row, fault in found]
    if (rejected or has_bad) and not options.skips_bad:
        return report
    if there and options.on_conflict == "update":
        if await connection.scalar(statements.locking()) < there:
            raise TransactionConflict
        report.updated = (await connection.execute(statements.updating())).rowcount
    if new:
        inserting = statements.inserting(keeps_ids=options.keeps_ids)
        report.created = (await connection.execute(inserting)).rowcount
        if report.created < new:
            raise TransactionConflict
    report.skipped = there - report.updated
    return report


@cache
def _statements_of(importable: Importable[Any]) -> Statements:
    return Statements(importable)


def _row_fault(row: int, kind: str, name: str) -> Fault:
    code: FaultCode = "not_found" if kind == "unknown" else "not_unique"
    return Fault(row=row, pointer=f"/{name}", code=code, detail=_DETAILS[kind])
