"""The command `satchel`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import ConfigurationError, Settings, load_settings
from app.database.embedded import EmbeddedError
from app.keys import service
from app.keys.commands import in_transaction
from app.keys.table import table_of_keys
from app.keys.times import parse_duration, parse_expiry, shown
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
keys = typer.Typer(help="Make, list, revoke and rotate API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")

T = TypeVar("T")


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
    except service.KeyFault as error:
        _fail("Nothing was changed:", str(error))
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


def _expiry(said: str) -> datetime:
    try:
        return parse_expiry(said, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _name(said: str) -> str:
    if not service.NAME.fullmatch(said):
        raise typer.BadParameter("1 to 64 of a-z, 0-9, '.' and '-', a letter or digit first.")
    return said


Name = Annotated[str, typer.Option(callback=_name, help="Who the key is for, as logs name it.")]
Expires = Annotated[
    datetime | None,
    typer.Option(parser=_expiry, metavar="TIME", help="90d, 2030-01-31, ...; without: never."),
]


def _on_keys(work: Callable[[AsyncSession, Settings], Awaitable[T]]) -> T:
    async def run(settings: Settings) -> T:
        if settings.migrate_on_start:
            await server.migrate_database(url, settings)
        return await in_transaction(url, settings, lambda session: work(session, settings))

    with _faults_told() as settings, server.database_url(settings) as url:
        return asyncio.run(run(settings))


def _show(key: service.NewKey) -> None:
    """The key alone on standard output, for scripts; the words beside it."""
    until = "for ever" if key.expires is None else f"until {shown(key.expires)}"
    typer.echo(f"The key {key.name} may {key.scope}, {until}. It is shown this once:", err=True)
    typer.echo(key.secret)


@keys.command("create")
def create_key(
    name: Name,
    scope: Annotated[Literal["read", "write", "admin"], typer.Option(help="What it may do.")],
    expires: Expires = None,
) -> None:
    """Make a key and show it, this once."""
    _show(
        _on_keys(
            lambda session, settings: service.create_key(
                session, settings.mode, name, scope, expires
            )
        )
    )


@keys.command("list")
def list_keys() -> None:
    """Show the keys that were ever made, without their secrets."""
    found = _on_keys(lambda session, _: service.list_keys(session))
    typer.echo(table_of_keys(found, datetime.now(UTC)) if found else "There are no keys yet.")


@keys.command("revoke")
def revoke_keys(
    reference: Annotated[str, typer.Argument(help="A name (all its keys) or a prefix (the one).")],
) -> None:
    """End keys, within 30 seconds."""
    for prefix in _on_keys(lambda session, _: service.revoke_keys(session, reference)):
        typer.echo(f"Revoked: {prefix}; servers refuse it within 30 seconds.")


@keys.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(help="The name of the key to replace.")],
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old one stays good: 30m, 24h, ...")
    ] = "24h",
    expires: Annotated[
        datetime | None,
        typer.Option(parser=_expiry, metavar="TIME", help="Without: lives as long as the old one."),
    ] = None,
) -> None:
    """Make a new key of the same name and scope; the old one ends after the overlap."""
    try:
        kept = parse_duration(overlap)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--overlap") from None
    new, old_ends = _on_keys(
        lambda session, settings: service.rotate_key(session, settings.mode, name, kept, expires)
    )
    typer.echo(f"The old key ends at {shown(old_ends)}.", err=True)
    _show(new)


def main() -> None:
    app(prog_name="satchel")


if __name__ == "__main__":
    main()
