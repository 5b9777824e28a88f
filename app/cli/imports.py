"""The command `satchel import`: rows of a file, checked by several processes, in transactions."""

import asyncio
import codecs
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.accounts.service import ACCOUNT_IMPORT
from app.api.imports.records import Form, Source, lines_of, read_rows, unzipped
from app.api.imports.rows import RowChecker, columns_of, required_of
from app.cli.error_reports import reporting_errors
from app.cli.progress import showing_progress
from app.cli.rejected import RejectedRows
from app.errors import MalformedBody
from app.items.service import ITEM_IMPORT
from app.postgres.engine import make_engine
from app.resources.imports import Importable, OnConflict, Options, Report, RowFault, write
from app.serving import server

_IMPORTABLE: Final[dict[str, Importable[Any]]] = {"accounts": ACCOUNT_IMPORT, "items": ITEM_IMPORT}
_PIECE: Final = 2**20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_JSON_SUFFIXES: Final = frozenset({".ndjson", ".jsonl"})
_SHOWN_FAULTS: Final = 10
_MAX_BATCH: Final = 2**24  # characters, so that memory does not depend on the length of rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are written in one transaction; `first` is the number of the first of them."""

    first: int
    sources: list[Source]


@dataclass(frozen=True, slots=True)
class Checked:
    """The good rows of a batch as staged lines, and the faults of the bad ones."""

    lines: bytes
    faults: list[RowFault]


def import_rows(
    resource: Annotated[Literal["accounts", "items"], typer.Argument()],
    file: Annotated[
        Path,
        typer.Argument(dir_okay=False, help="CSV or NDJSON, gzip or not; - is standard input."),
    ],
    on_conflict: Annotated[
        OnConflict, typer.Option(help="What happens to rows that are there already.")
    ] = "fail",
    on_error: Annotated[
        Literal["fail", "skip"], typer.Option(help="Stop at a bad row, or leave it out.")
    ] = "fail",
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check all rows and store none.")
    ] = False,
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="New rows get id, created and updated of the file.")
    ] = False,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="Take off the ' before =, +, - and @ in cells.")
    ] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="A file for bad rows, to be corrected and imported.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=100_000, help="Rows in one transaction.")
    ] = 10_000,
    from_row: Annotated[int, typer.Option(min=1, help="Leave out the rows before this.")] = 1,
) -> None:
    """Import accounts or items. Each row goes through the rules of a single request."""
    importable = _IMPORTABLE[resource]
    options = Options(on_conflict, keep_ids, on_error == "skip", max_faults=batch)
    with reporting_errors() as settings, ExitStack() as stack:
        form, rows = _open(stack, file, importable, is_spreadsheet=spreadsheet)
        batches = _batches(rows, batch, from_row)
        beginning = [*islice(batches, 2)]
        # Processes are forked before a database is started, which takes threads.
        pool = _checkers(len(beginning))
        stack.callback(pool.shutdown, cancel_futures=True)
        checked = _check_ahead(pool, chain(beginning, batches), resource, form, keep_ids)
        bad = RejectedRows(rejected, form) if rejected is not None else None
        url = stack.enter_context(server.database_url(settings))
        runner = stack.enter_context(asyncio.Runner())
        if settings.migrate_on_start:
            runner.run(server.migrate_database(url, settings))
        engine = make_engine(url, settings, for_migrations=True)
        stack.callback(lambda: runner.run(engine.dispose()))
        job = Import(importable, options, bad, from_row, validate_only=validate_only)
        job.run(runner, engine, checked)
    _summarize(job, validate_only=validate_only)


def _open(
    stack: ExitStack, file: Path, importable: Importable[Any], *, is_spreadsheet: bool
) -> tuple[Form, Iterator[Source]]:
    """The form and the rows of a file. Errors: MalformedBody, InvalidRequest."""
    start, pieces = _peek(_pieces(stack, file))
    if start.startswith(_GZIP_MAGIC):
        start, pieces = _peek(unzipped(pieces))
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    # Of the two, only NDJSON may be empty.
    is_json = text.startswith(b"{") or not (text or ".csv" in file.suffixes)
    is_json = is_json or not _JSON_SUFFIXES.isdisjoint(file.suffixes)
    form = Form("ndjson" if is_json else "csv", is_spreadsheet)
    return read_rows(lines_of(pieces), form, columns_of(importable), required_of(importable))


def _pieces(stack: ExitStack, file: Path) -> Iterator[bytes]:
    try:
        opened: Any = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        yield from iter(partial(opened.read1, _PIECE), b"")
    except OSError as error:
        raise MalformedBody(f"{file}: {error.strerror}.") from error


def _peek(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The start, which tells what a file is, and all pieces. A pipe may give a byte at a time."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start.lstrip()) > len(codecs.BOM_UTF8) or len(start) > _PIECE:
            break
    return start, chain((start,), pieces)


def _batches(rows: Iterator[Source], size: int, from_row: int) -> Iterator[Batch]:
    first = from_row
    rows = islice(rows, from_row - 1, None)
    sources: list[Source] = []
    length = 0
    for source in rows:
        sources.append(source)
        length += len(source) if isinstance(source, str) else len(source) + sum(map(len, source))
        if len(sources) == size or length > _MAX_BATCH:
            yield Batch(first, sources)
            first += len(sources)
            sources, length = [], 0
    if sources:
        yield Batch(first, sources)


# Each process that checks rows makes its own.
@cache
def _checker(resource: str, form: Form, keeps_ids: bool) -> RowChecker:
    return RowChecker(_IMPORTABLE[resource], form, keeps_ids=keeps_ids)


def _check(batch: Batch, *checker: Any) -> Checked:
    check = _checker(*checker).check
    lines, faults = [], []
    for number, source in enumerate(batch.sources, batch.first):
        checked = check(number, source)
        if isinstance(checked, bytes):
            lines.append(checked)
        else:
            faults += checked
    return Checked(b"".join(lines), faults)


def _checkers(batches: int) -> Executor:
    """Processes for a file of more than one batch; their start takes longer than a small file."""
    if batches < 2:
        return ThreadPoolExecutor(1)
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(os.cpu_count(), context, initializer=_start_worker)
    pool.submit(os.getpid)  # forks them
    return pool


def _start_worker() -> None:
    # Ctrl-C reaches all processes of a terminal. The first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End where the parent was killed: a process that waits for work would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _check_ahead(
    pool: Executor, batches: Iterator[Batch], *checker: Any
) -> Iterator[tuple[Batch, Checked]]:
    """Checked batches in order. A few are checked while the database writes another."""
    waiting: deque[tuple[Batch, Future[Checked]]] = deque()
    for batch in batches:
        waiting.append((batch, pool.submit(_check, batch, *checker)))
        if len(waiting) > (os.cpu_count() or 1) + 1:
            done, checked = waiting.popleft()
            yield done, checked.result()
    for done, checked in waiting:
        yield done, checked.result()


class Import:
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
        if self._next == self._first:
            return "Nothing was stored."
        has_skipped = self.report.rejected and not self._stops_at_bad
        others = ", but for rejected ones" if has_skipped else ""
        rows = f"Rows {self._first} to {self._next - 1} are stored{others}."
        return f"{rows} Go on with --from-row {self._next}."

    async def _write(self, connection: AsyncConnection, batch: Batch, checked: Checked) -> None:
        if not connection.in_transaction():
            await connection.begin()
        written = await write(connection, self._importable, _once(checked.lines), self._options)
        written.rows = len(batch.sources)
        faults = sorted((*checked.faults, *written.errors), key=lambda fault: fault["row"])
        by_row = {row: list(each) for row, each in groupby(faults, key=lambda fault: fault["row"])}
        written.rejected = len(by_row)
        written.errors = faults
        if by_row and self._rejected is not None:
            self._rejected.write(
                (batch.sources[row - batch.first], each) for row, each in by_row.items()
            )
        if self._validate_only:
            pass  # the transaction goes on, so that later rows are compared with these
        elif by_row and self._stops_at_bad:
            await connection.rollback()
            written = Report(rows=written.rows, rejected=written.rejected, errors=faults)
        else:
            await self._commit(connection, batch)
        self._add(written)

    async def _commit(self, connection: AsyncConnection, batch: Batch) -> None:
        commit = asyncio.ensure_future(connection.commit())
        try:
            await asyncio.shield(commit)
        finally:
            await commit  # also where Ctrl-C has cancelled this
            self._next = batch.first + len(batch.sources)

    def _add(self, written: Report) -> None:
        report = self.report
        report.rows += written.rows
        report.created += written.created
        report.updated += written.updated
        report.skipped += written.skipped
        report.rejected += written.rejected
        report.errors += written.errors[: _SHOWN_FAULTS - len(report.errors)]


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _once(lines: bytes) -> AsyncIterator[bytes]:
    yield lines


def _summarize(job: Import, *, validate_only: bool) -> None:
    """Print what was done. Errors: Exit with status 1, if bad rows have kept rows out."""
    report = job.report
    for fault in report.errors:
        place = f"{fault['pointer']} " if fault["pointer"] else ""
        typer.echo(f"row {fault['row']}: {place}{fault['code']}: {fault['detail']}", err=True)
    if report.rejected and len(report.errors) == _SHOWN_FAULTS:
        typer.echo(f"These are the first faults of {report.rejected} bad rows.", err=True)
    counts = f"{report.rows} rows: {report.created} created, {report.updated} updated,"
    counts += f" {report.skipped} skipped, {report.rejected} rejected."
    if validate_only:
        typer.echo(f"Nothing was stored. {counts}")
    else:
        typer.echo(counts)
    if job.has_failed:
        if not validate_only:
            advice = "Correct them, or leave them out with --on-error skip."
            typer.echo(f"Bad rows: {report.rejected}. {advice} {job.where_to_go_on()}", err=True)
        raise typer.Exit(1)
