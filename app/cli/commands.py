"""The command `satchel` and those of its subcommands that have no module."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from app.auth.guard import make_verifier
from app.cli.checks import check_database, check_replica, note_on_pooler
from app.cli.demo import demo
from app.cli.error_reports import reporting_errors
from app.cli.exports import export_rows
from app.cli.imports import import_rows
from app.cli.keys import keys
from app.cli.outputs import whole_file
from app.config import ConfigurationError
from app.main import create_app
from app.postgres import backups
from app.serving import server
from app.serving.sweeper import sweep_database
from app.telemetry.tracing import make_tracing

# Of a document in a file. That of a served one is relative: a file does not say to what.
SERVERS = [{"url": "http://localhost:8000", "description": "A server on this machine"}]

app = typer.Typer(
    help="Accounts and the items they own, as a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="keys")
app.command("export")(export_rows)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on; 0: any free port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    reload: Annotated[bool, typer.Option(help="Restart when the code changes.")] = False,
) -> None:
    """Serve. Start a database if none is configured, and migrate it if the mode says so."""
    with reporting_errors(host=host, port=port, workers=workers) as settings:
        if reload and settings.workers > 1:
            raise ConfigurationError("WORKERS: --reload works with one worker only.")
        server.serve(settings, reload=reload)


@app.command()
def migrate() -> None:
    """Migrate the database to the newest revision; safe on many machines at once."""
    with reporting_errors() as settings, server.database_url(settings) as url:
        asyncio.run(server.migrate_database(url, settings))
    typer.echo("The schema is up to date.")


@app.command()
def check() -> None:
    """Check the settings and the database, and say how to fix each error."""
    with reporting_errors() as settings:
        # These fail if a library or a file is missing.
        make_tracing(settings)
        make_verifier(settings)
        typer.echo(f"ok     settings (mode {settings.mode})")
        with server.database_url(settings) as url:
            errors = asyncio.run(check_database(url, settings))
            if not errors and (replica_url := settings.replica_url) is not None:
                errors = asyncio.run(check_replica(replica_url, url, settings))
            notes = [] if errors else asyncio.run(note_on_pooler(url, settings))
    for error in errors:
        typer.echo(f"error  {error}", err=True)
    if errors:
        raise typer.Exit(1)
    typer.echo("ok     database")
    for note in notes:
        typer.echo(f"note   {note}", err=True)


@app.command()
def sweep() -> None:
    """Delete expired idempotency keys. Servers do the same periodically."""
    with reporting_errors() as settings, server.database_url(settings) as url:
        swept = asyncio.run(sweep_database(url, settings))
    typer.echo(f"Expired keys deleted: {swept}")


app.command()(demo)
app.command("import")(import_rows)


@app.command()
def backup(
    file: Annotated[
        str, typer.Argument(help="Is replaced when the new one is whole; - is standard output.")
    ],
) -> None:
    """Back up the whole database to a file: accounts, items, links, API keys, stored responses."""
    with (
        reporting_errors() as settings,
        server.database_url(settings) as url,
        whole_file(file) as output,
    ):
        backups.back_up(settings.migration_url or url, settings, output)
    typer.echo(f"The backup is in {file}.", err=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A backup.")],
) -> None:
    """Restore a backup into an empty database, all or nothing."""
    with reporting_errors() as settings, server.database_url(settings) as url:
        backups.restore(settings.migration_url or url, settings, file)
    typer.echo("The database is restored. Run `satchel migrate`, then `satchel check`.")


@app.command()
def openapi(
    sdk: Annotated[
        bool, typer.Option("--sdk", help="Without forms, for generators of SDKs.")
    ] = False,
) -> None:
    """Print the OpenAPI document."""
    with reporting_errors() as settings:
        application = create_app(settings)
        document = application.sdk_document if sdk else application.openapi()
    document = {**document, "servers": SERVERS}
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@app.command(hidden=True)
def revision(message: str) -> None:
    """Write a migration: what the models have and the migrated database has not."""
    with reporting_errors() as settings, server.database_url(settings) as url:
        asyncio.run(server.migrate_database(url, settings, message))


def main() -> None:
    app(prog_name="satchel")


if __name__ == "__main__":
    main()
