"""Fills a database with demo data, in the transaction of a session."""

from collections.abc import Iterator, Mapping
from itertools import islice
from random import Random
from typing import Final

from sqlalchemy import ARRAY, Table, bindparam, exists, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.demo import DemoError, Existing
from app.demo import rows as demo
from app.models import Account, Favorite, Item, Reservation, Wish, table_of

BATCH_ROWS: Final = 2000


async def fill(
    session: AsyncSession,
    *,
    accounts: int,
    items: int,
    seed: int,
    existing: Existing,
) -> Mapping[str, int]:
    """How many rows were added, by table.

    existing: what to do if there are accounts; `keep` adds none.
    Errors: DemoError if there are accounts, or `add` meets those of this seed.
    """
    if existing != "add":
        # So that no other transaction adds accounts meanwhile.
        await session.execute(text("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"))
        if await session.scalar(select(exists(table_of(Account).select()))):
            if existing == "keep":
                return {}
            raise DemoError(
                "There are accounts: use an empty database, or add to them with --into-existing."
            )
    chance, people, things = Random(seed), list[demo.Made](), list[demo.Made]()
    made = {
        Account: demo.account_rows(chance, seed, accounts, people),
        Item: demo.item_rows(chance, items, people, things),
        Favorite: demo.favorite_rows(chance, people, things),
        Reservation: demo.reservation_rows(chance, people, things),
        Wish: demo.wish_rows(chance, people, things),
    }
    try:
        return {
            model.__tablename__: await _insert(session, table_of(model), rows)
            for model, rows in made.items()
        }
    except IntegrityError as error:
        raise DemoError(
            f"There is demo data of seed {seed} already: choose another --seed."
        ) from error


async def _insert(session: AsyncSession, table: Table, rows: Iterator[demo.Row]) -> int:
    """Arrays of values take half as long as rows of parameters."""
    count = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        names = [*batch[0]]
        arrays = [bindparam(name, type_=ARRAY(table.c[name].type)) for name in names]
        new = func.unnest(*arrays).table_valued(*names).render_derived(name="new")
        values = {name: [row[name] for row in batch] for name in names}
        await session.execute(insert(table).from_select(names, select(*new.c)), values)
        count += len(batch)
    return count
