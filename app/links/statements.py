"""The statements of links: each operation is one.

A link is written from the item that its statement finds, so the item costs no query of its own.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert

from app.links.kinds import ENDS, Link

# xmax is zero in a row that the statement inserted, and not in one that it updated.
IS_NEW: ColumnElement[bool] = literal_column("xmax = 0").label("is_new")


# Each form of a statement is built once.


@cache
def select_link(link: Link, end: str, names: tuple[str, ...]) -> Executable:
    resource, table = ENDS[end], link.table
    return (
        select(*resource.columns, *(table.c[field] for field in link.fields))
        .join(table, table.c[f"{end}_id"] == resource.table.c.id)
        .where(*_equal(table, names))
    )


@cache
def delete_link(link: Link, names: tuple[str, ...]) -> Executable:
    return delete(link.table).where(*_equal(link.table, names)).returning(link.table.c.account_id)


@cache
def put_link(link: Link, must_be_new: bool) -> Executable:
    """The columns of the item, the fields of the link, its item, and whether it is new.

    must_be_new: a link that is there already stays as it is, and its columns are null.
    """
    table, items = link.table, ENDS["item"]
    account_id = bindparam("account_id", type_=Uuid)
    item = (
        select(*items.columns, account_id.label("linked_account_id"))
        .where(items.table.c.id == bindparam("item_id", type_=Uuid))
        .cte("item")
    )
    owner: ColumnElement[Any] = item.c.linked_account_id
    if not link.replaced:
        # Locked, so that the later of two requests of one account waits for the earlier one.
        # Otherwise it might meet the item before the account, and take its own reservation for
        # that of another account.
        accounts = ENDS["account"].table
        holder = select(accounts.c.id).where(accounts.c.id == account_id)
        holder = holder.with_for_update(key_share=True)
        owner = func.coalesce(holder.scalar_subquery(), owner)
    names, ends = ["account_id", "item_id"], select(owner, item.c.id)
    if "note" in link.fields:
        names, ends = [*names, "note"], ends.add_columns(bindparam("note", type_=Text))
    insertion = insert(table).from_select(names, ends)
    # If nothing is replaced, the item is set to itself, since only updated rows are returned.
    new = {name: insertion.excluded[name] for name in link.replaced}
    if must_be_new:
        upsert = insertion.on_conflict_do_nothing(index_elements=link.key)
    else:
        upsert = insertion.on_conflict_do_update(
            index_elements=link.key, set_=new or {"item_id": table.c.item_id}
        )
    written = upsert.returning(
        *(table.c[field] for field in link.fields), table.c.item_id.label("linked_item_id"), IS_NEW
    ).cte("link")
    columns = [column for column in item.c if column.key != "linked_account_id"]
    return select(*columns, written).outerjoin(written, true())


def _equal(table: Table, names: Sequence[str]) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(name, type_=Uuid) for name in names]
