"""The command `satchel import`."""

import asyncio
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.error_reports import reporting_errors
from app.cli.import_job import SHOWN_FAULTS, ImportJob
from app.cli.rejected import RejectedRows
from app.cli.row_batches import IMPORTABLE, batches_of, check_ahead, open_rows, start_checkers
from app.postgres.engine import SERVER_LIMITS, make_engine
from app.resources.imports import OnConflict, Options
from app.serving import server


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
    importable = IMPORTABLE[resource]
    options = Options(on_conflict, keep_ids, on_error == "skip", max_faults=batch)
    with reporting_errors() as settings, ExitStack() as stack:
        form, rows = open_rows(stack, file, importable, is_spreadsheet=spreadsheet)
        batches = batches_of(rows, batch, from_row)
        beginning = [*islice(batches, 2)]
        # Processes are forked before a database is started, which takes threads.
        pool = start_checkers(len(beginning))
        stack.callback(pool.shutdown, cancel_futures=True)
        checked = check_ahead(pool, chain(beginning, batches), resource, form, keep_ids)
        bad = RejectedRows(rejected, form) if rejected is not None else None
        url = stack.enter_context(server.database_url(settings))
        runner = stack.enter_context(asyncio.Runner())
        if settings.migrate_on_start:
            runner.run(server.migrate_database(url, settings))
        unlimited = settings.model_copy(update=dict.fromkeys(SERVER_LIMITS.values(), 0))
        engine = make_engine(url, unlimited)
        stack.callback(lambda: runner.run(engine.dispose()))
        job = ImportJob(importable, options, bad, from_row, validate_only=validate_only)
        job.run(runner, engine, checked)
    _summarize(job, validate_only=validate_only)


def _summarize(job: ImportJob, *, validate_only: bool) -> None:
    """Print what was done. Errors: Exit with status 1, if bad rows have kept rows out."""
    report = job.report
    for fault in report.errors:
        place = f"{fault['pointer']} " if fault["pointer"] else ""
        typer.echo(f"row {fault['row']}: {place}{fault['code']}: {fault['detail']}", err=True)
    if report.rejected and len(report.errors) == SHOWN_FAULTS:
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
