"""The command `satchel export`."""

import asyncio
import signal
import string
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer
from pydantic import ValidationError
from sqlalchemy import URL

from app.accounts.schemas import AccountExportQuery
from app.accounts.service import ACCOUNTS
from app.api.arguments import parameters_of
from app.api.faults import faults_of
from app.api.queries import parse_query
from app.cli.error_reports import reporting_errors
from app.cli.outputs import whole_file, write_to
from app.cli.progress import showing_progress
from app.config import Settings
from app.items.schemas import ItemExportQuery
from app.items.service import ITEMS
from app.postgres.copies import Copies, Write
from app.postgres.engine import make_engine
from app.resources.exports import Export, ExportQuery, Format, export_of, start_gzip
from app.serving import server

EXPORTED: Final[dict[str, tuple[Any, type[ExportQuery]]]] = {
    "accounts": (ACCOUNTS, AccountExportQuery),
    "items": (ITEMS, ItemExportQuery),
}


def export_rows(
    resource: Annotated[Literal["accounts", "items"], typer.Argument(help="What to export.")],
    file: Annotated[str, typer.Argument(help="The file to write; - is standard output.")],
    text_format: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Default: csv for a name that ends with .csv or .csv.gz, else ndjson."
        ),
    ] = None,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="CSV for spreadsheets, without formulas.")
    ] = False,
    compress: Annotated[
        bool, typer.Option("--gzip", help="Compress. A name that ends with .gz does so too.")
    ] = False,
    query: Annotated[
        str, typer.Option(help="Filters and sort as in a URL, such as country=JO&sort=email.")
    ] = "",
) -> None:
    """Export all rows as one snapshot. The file is there only when it is whole."""
    plain = file.removesuffix(".gz")
    chosen = text_format or ("csv" if spreadsheet or plain.endswith(".csv") else "ndjson")
    if spreadsheet and chosen != "csv":
        raise typer.BadParameter("Only CSV is for spreadsheets.", param_hint="--spreadsheet")
    export = _export(resource, query, chosen, spreadsheet=spreadsheet)
    compressor = start_gzip() if compress or plain != file else None
    with (
        reporting_errors() as settings,
        server.database_url(settings) as url,
        whole_file(file) as output,
        showing_progress(f"Exporting {resource}") as show,
    ):

        async def write(piece: bytes) -> None:
            if compressor is not None:  # in a thread, while the next piece is read
                piece = await asyncio.to_thread(compressor.compress, piece)
            write_to(output, file, piece)
            show(export.rows)

        asyncio.run(_run(settings, url, export, write))
        show(export.rows)
        if compressor is not None:
            write_to(output, file, compressor.flush())


def _export(resource: str, text: str, chosen: Format, *, spreadsheet: bool) -> Export:
    rows, schema = EXPORTED[resource]
    parameters = parameters_of(schema)
    taken = {n: repeats for n, repeats in parameters.items() if n not in ("format", "spreadsheet")}
    escaped = quote(text, safe=string.printable, errors="surrogateescape")
    values, faults = parse_query(escaped.encode(), taken)
    query = ExportQuery()
    try:
        query = schema.model_validate({**values, "spreadsheet": spreadsheet})
    except ValidationError as error:
        found = [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
        faults += faults_of(found, known=faults)
    if faults:
        lines = (f"{fault['parameter']}: {fault['detail']}" for fault in faults)
        raise typer.BadParameter(" ".join(lines), param_hint="--query")
    return export_of(rows, query, chosen)


async def _run(settings: Settings, url: URL, export: Export, write: Write) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if settings.migrate_on_start:
        await server.migrate_database(url, settings)
    # However long it takes, only its user waits for it.
    own = settings.model_copy(update={"pool_size": 1, "statement_timeout": 0})
    copies = Copies(make_engine(url, own, autocommit=True), 1, time_limit=0)
    try:
        await export.write(copies, write)
    finally:
        await copies.close()
