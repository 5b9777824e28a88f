"""The command `satchel demo`."""

from typing import Annotated, Final

import typer

from app.cli.transactions import in_transaction
from app.demo import Existing

LARGEST: Final = 1_000_000  # accounts or items; the command keeps the id of each in memory
Count = Annotated[int, typer.Option(min=1, max=LARGEST)]


def demo(
    accounts: Count = 10_000,
    items: Count = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 1,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="Add to the accounts that are there.")
    ] = False,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing if there are accounts.")
    ] = False,
) -> None:
    """Fill an empty database with demo data: accounts, items and the links between them."""
    from app.demo.filling import fill  # no other command needs it

    if into_existing and if_empty:
        raise typer.BadParameter("goes without --into-existing only.", param_hint="--if-empty")
    existing: Existing = "add" if into_existing else "keep" if if_empty else "refuse"
    added = in_transaction(
        lambda session, _: fill(
            session, accounts=accounts, items=items, seed=seed, existing=existing
        )
    )
    rows = ", ".join(f"{table} {count}" for table, count in added.items())
    typer.echo(f"Added with seed {seed}: {rows}" if rows else "There are accounts already.")
