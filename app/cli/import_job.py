"""Writes the batches of an import, and keeps count of them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Final

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.cli.progress import showing_progress
from app.cli.rejected import RejectedRows
from app.cli.row_batches import Batch, Checked
from app.postgres.failures import may_be_committed
from app.postgres.retries import retry
from app.postgres.time_limits import lifting_limits
from app.resources.import_writes import write
from app.resources.imports import Importable, Options, Report

SHOWN_FAULTS: Final = 10


class ImportJob:
    """Writes batches that were checked, each in a transaction of its own.

    To validate only, all are written in one transaction, which is undone.
    """

    def __init__(
        self,
        importable: Importable[Any],
        options: Options,
        rejected: RejectedRows | None,
        first: int,
        *,
        validate_only: bool,
    ) -> None:
        self._importable = importable
        self._stops_at_bad = not options.skips_bad
        self._options = replace(options, skips_bad=options.skips_bad or validate_only)
        self._rejected = rejected
        self._validate_only = validate_only
        self._first = first
        self._next = first  # the rows before are stored
        self._unknown: Batch | None = None  # which may be stored
        self.report = Report()

    @property
    def has_failed(self) -> bool:
        return bool(self.report.rejected) and self._stops_at_bad

    def run(
        self, runner: asyncio.Runner, engine: AsyncEngine, batches: Iterable[tuple[Batch, Checked]]
    ) -> None:
        """Errors: those of the file and the database, FileError, and KeyboardInterrupt."""
        connection = runner.run(_connect(engine))
        try:
            work = f"Importing {self._importable.resource.table}"
            with showing_progress(work, leaves_line=False) as show:  # the report follows
                for batch, checked in batches:
                    runner.run(self._write(connection, batch, checked))
                    show(self.report.rows)
                    if self.has_failed and not self._validate_only:
                        break
        except BaseException:
            typer.echo(self.where_to_go_on(), err=True)
            raise
        finally:
            runner.run(connection.close())

    def where_to_go_on(self) -> str:
        told = []
        if self._next > self._first:
            has_skipped = self.report.rejected and not self._stops_at_bad
            others = ", but for rejected ones" if has_skipped else ""
            told.append(f"Rows {self._first} to {self._next - 1} are stored{others}.")
        if self._unknown is not None:
            after = self._next + self._unknown.size
            told.append(f"Rows {self._next} to {after - 1} may be stored: look for them.")
            told.append(f"If they are, go on with --from-row {after}, otherwise")
            told.append(f"with --from-row {self._next}.")
        elif told:
            told.append(f"Go on with --from-row {self._next}.")
        return " ".join(told or ["Nothing was stored."])

    async def _write(self, connection: AsyncConnection, batch: Batch, checked: Checked) -> None:
        write_once = partial(self._write_once, connection, batch, checked, set())
        self._add(await (write_once() if self._validate_only else retry(write_once)))

    async def _write_once(
        self, connection: AsyncConnection, batch: Batch, checked: Checked, in_file: set[int]
    ) -> Report:
        """in_file: the rejected rows of this batch that are in the file by an attempt before."""
        if not self._validate_only:
            await connection.rollback()  # what is left of an attempt before
        if not connection.in_transaction():
            await connection.begin()
            if self._validate_only:
                # It cannot run again without the batches before, and stores nothing anyway.
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
            await connection.execute(lifting_limits())  # only the user of the command waits for it
        written = await write(
            connection,
            self._importable,
            _once(checked.lines),
            self._options,
            has_bad=bool(checked.faults),
        )
        written.rows = batch.size
        faults = sorted((*checked.faults, *written.errors), key=lambda fault: fault["row"])
        by_row = {row: list(each) for row, each in groupby(faults, key=lambda fault: fault["row"])}
        written.rejected = len(by_row)
        written.errors = faults
        new = {row: each for row, each in by_row.items() if row not in in_file}
        if new and self._rejected is not None:
            self._rejected.write((source, new[row]) for row, source in batch.rows() if row in new)
            in_file.update(new)
        if self._validate_only:
            pass  # the transaction goes on, so that later rows are compared with these
        elif by_row and self._stops_at_bad:
            await connection.rollback()
        else:
            await self._commit(connection, batch)
        return written

    async def _commit(self, connection: AsyncConnection, batch: Batch) -> None:
        commit = asyncio.ensure_future(connection.commit())
        try:
            await asyncio.shield(commit)
        finally:
            try:
                await commit  # also where Ctrl-C has cancelled this
            except Exception as error:
                self._unknown = batch if may_be_committed(error) else None
                raise
            self._next = batch.first + batch.size

    def _add(self, written: Report) -> None:
        report = self.report
        report.rows += written.rows
        report.created += written.created
        report.updated += written.updated
        report.skipped += written.skipped
        report.rejected += written.rejected
        report.errors += written.errors[: SHOWN_FAULTS - len(report.errors)]


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _once(lines: bytes) -> AsyncIterator[bytes]:
    yield lines
