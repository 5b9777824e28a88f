"""The command `satchel`."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from app.config import ConfigurationError, Settings, load_settings
from app.database.embedded import EmbeddedError
from app.main import create_app
from app.ops import server
from app.ops.checks import check_database, explain
from app.ops.logs import configure_logs
from app.ops.sweeper import sweep_database
from app.ops.tracing import make_tracing

app = typer.Typer(
    help="Accounts and the items they own, as a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def _faults_told(**options: Any) -> Iterator[Settings]:
    """The settings, for a command; what an operator can mend is told in a few lines, no stack."""
    try:
        settings = load_settings(**{k: v for k, v in options.items() if v is not None})
        configure_logs(settings)
        yield settings
    except ConfigurationError as error:
        _fail("The settings are wrong:", str(error))
    except EmbeddedError as error:
        _fail("The embedded PostgreSQL does not start:", str(error))
    except CommandError as error:
        _fail("The migrations cannot be used:", str(error))
    except (SQLAlchemyError, OSError) as error:
        _fail("The database cannot be used (`satchel check` may tell more):", explain(error))


def _fail(title: str, text: str) -> NoReturn:
    typer.secho(title, fg="red", err=True)
    typer.echo("  " + text.replace("\n", "\n  "), err=True)
    raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    reload: Annotated[bool, typer.Option(help="Restart when the code changes.")] = False,
) -> None:
    """Start the database where none is named, migrate where the mode says so, and serve."""
    with _faults_told(host=host, port=port, workers=workers) as settings:
        if reload and settings.workers > 1:
            raise ConfigurationError("WORKERS: there is one only with --reload.")
        server.serve(settings, reload=reload)


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision; may run on many machines at once."""
    with _faults_told() as settings, server.database_url(settings) as url:
        asyncio.run(server.migrate_database(url, settings))
    typer.echo("The schema is up to date.")


@app.command()
def check() -> None:
    """Look at the settings and the database, and name each fault with its mend."""
    with _faults_told() as settings:
        make_tracing(settings)  # refused where its libraries are missing
        typer.echo(f"ok     settings (mode {settings.mode})")
        with server.database_url(settings) as url:
            faults = asyncio.run(check_database(url, settings))
    for fault in faults:
        typer.echo(f"fault  {fault}", err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo("ok     database")


@app.command()
def sweep() -> None:
    """Delete the expired idempotency keys, as servers do by themselves now and then."""
    with _faults_told() as settings, server.database_url(settings) as url:
        swept = asyncio.run(sweep_database(url, settings))
    typer.echo(f"Expired keys deleted: {swept}")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    with _faults_told() as settings:
        document = create_app(settings).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@app.command(hidden=True)
def revision(message: str) -> None:
    """Write a migration from the difference between the models and the migrated database."""
    with _faults_told() as settings:
        server.write_revision(settings, message)


def main() -> None:
    app(prog_name="satchel")


if __name__ == "__main__":
    main()
