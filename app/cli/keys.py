"""The commands `satchel keys`."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from app.auth import keys as service
from app.cli.key_table import table_of_keys
from app.cli.times import format_time, parse_duration, parse_expiry
from app.cli.transactions import in_transaction

keys = typer.Typer(help="Create, list, revoke and rotate API keys.", no_args_is_help=True)


def _expiry(value: str) -> datetime:
    try:
        return parse_expiry(value, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _name(value: str) -> str:
    if not service.NAME.fullmatch(value):
        raise typer.BadParameter(
            "use 1 to 64 of a-z, 0-9, '.' and '-', beginning with a letter or digit."
        )
    return value


Name = Annotated[str, typer.Option(callback=_name, help="Who uses the key. Logs show it.")]
Expires = Annotated[
    datetime | None,
    typer.Option(parser=_expiry, metavar="TIME", help="90d, 2030-01-31, ...; default: never."),
]


def _show(key: service.NewKey) -> None:
    """Print the key alone to standard output, for scripts."""
    expires = "does not expire" if key.expires is None else f"expires {format_time(key.expires)}"
    typer.echo(
        f"The key {key.name} has the scope {key.scope} and {expires}. It is shown only once:",
        err=True,
    )
    typer.echo(key.secret)


@keys.command("create")
def create_key(
    name: Name,
    scope: Annotated[Literal["read", "write", "admin"], typer.Option(help="What the key allows.")],
    expires: Expires = None,
) -> None:
    """Create a key and show it, only once."""
    _show(
        in_transaction(
            lambda session, settings: service.create_key(
                session, settings.mode, name, scope, expires
            )
        )
    )


@keys.command("list")
def list_keys() -> None:
    """List all keys that were ever created, without their secrets."""
    found = in_transaction(lambda session, _: service.list_keys(session))
    typer.echo(table_of_keys(found, datetime.now(UTC)) if found else "There are no keys.")


@keys.command("revoke")
def revoke_keys(
    reference: Annotated[str, typer.Argument(help="A name (all its keys) or a prefix (one key).")],
) -> None:
    """Revoke keys. Servers refuse them within 30 seconds."""
    for prefix in in_transaction(lambda session, _: service.revoke_keys(session, reference)):
        typer.echo(f"Revoked: {prefix}; servers refuse it within 30 seconds.")


@keys.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(help="The name of the key to replace.")],
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old key still works: 30m, 24h, ...")
    ] = "24h",
    expires: Annotated[
        datetime | None,
        typer.Option(parser=_expiry, metavar="TIME", help="Default: the lifetime of the old key."),
    ] = None,
) -> None:
    """Create a new key with the same name and scope. The old one ends after the overlap."""
    try:
        kept = parse_duration(overlap)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--overlap") from None
    new, old_ends = in_transaction(
        lambda session, settings: service.rotate_key(session, settings.mode, name, kept, expires)
    )
    typer.echo(f"The old key expires {format_time(old_ends)}.", err=True)
    _show(new)
