"""The command `satchel`."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from app.config import ConfigurationError, Settings, load_settings
from app.database.embedded import EmbeddedError
from app.main import create_app
from app.ops import server
from app.ops.checks import check_database

app = typer.Typer(
    help="Accounts and the items they own, as a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def _faults_told() -> Iterator[None]:
    """What an operator can mend is told in a line or two, without a stack."""
    try:
        yield
    except ConfigurationError as error:
        _fail("The settings are wrong:", str(error))
    except EmbeddedError as error:
        _fail("The embedded PostgreSQL does not start:", str(error))
    except (SQLAlchemyError, OSError) as error:
        _fail("The database cannot be used:", _reason(error))


def _fail(title: str, text: str) -> None:
    typer.secho(title, fg="red", err=True)
    typer.echo("  " + text.replace("\n", "\n  "), err=True)
    raise typer.Exit(1)


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    reload: Annotated[bool, typer.Option(help="Restart when the code changes.")] = False,
) -> None:
    """Start the database where none is named, migrate where the mode says so, and serve."""
    with _faults_told():
        options = {"host": host, "port": port, "workers": workers}
        settings = load_settings(**{k: v for k, v in options.items() if v is not None})
        server.serve(settings, reload=reload)


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision; may run on many machines at once."""
    with _faults_told():
        settings = load_settings()
        with server.database_url(settings) as url:
            asyncio.run(server.migrate_database(url, settings))
        typer.echo("The schema is up to date.")


@app.command()
def check() -> None:
    """Look at the settings and the database, and name each fault with its mend."""
    with _faults_told():
        settings = load_settings()
        typer.echo(f"ok     settings (mode {settings.mode})")
        with server.database_url(settings) as url:
            faults = asyncio.run(check_database(url, settings))
    for fault in faults:
        typer.echo(f"fault  {fault}", err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo("ok     database")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    with _faults_told():
        document = create_app(Settings(_env_file=None)).openapi()
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@app.command(hidden=True)
def revision(message: str) -> None:
    """Write a migration from the difference between the models and the migrated database."""
    with _faults_told():
        server.write_revision(load_settings(), message)


def main() -> None:
    app(prog_name="satchel")


if __name__ == "__main__":
    main()
