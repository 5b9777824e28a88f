"""The commands `satchel keys`."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import keys as service
from app.cli.error_reports import reporting_errors
from app.cli.key_table import table_of_keys
from app.cli.times import parse_duration, parse_expiry, shown
from app.config import Settings
from app.postgres.engine import make_engine
from app.serving import server

keys = typer.Typer(help="Make, list, revoke and rotate API keys.", no_args_is_help=True)

T = TypeVar("T")


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
        engine = make_engine(url, settings)
        try:
            async with AsyncSession(engine) as session, session.begin():
                return await work(session, settings)
        finally:
            await engine.dispose()

    with reporting_errors() as settings, server.database_url(settings) as url:
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
