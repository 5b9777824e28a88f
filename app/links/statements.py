"""The statements of links: each operation is one.

A link is written from the item that its statement finds, so the item costs no query of its own.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Executable,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    false,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.links.kinds import ENDS, Link

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

    Its parameters are `new_account_id`, `new_item_id` and, if the link has one, `new_note`.
    must_be_new: a link that is there already stays as it is, and its columns are null. So they are
    of one that another transaction has made since the statement began: it can be seen by the next.
    """
    table, items = link.table, ENDS["item"]
    # By the names of columns, SQLAlchemy would set those in the UPDATE.
    account_id = bindparam("new_account_id", type_=Uuid)
    item = (
        select(*items.columns, account_id.label("linked_account_id"))
        .where(items.table.c.id == bindparam("new_item_id", type_=Uuid))
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
    new: dict[str, ColumnElement[Any]] = {"account_id": owner, "item_id": item.c.id}
    if "note" in link.fields:
        new["note"] = bindparam("new_note", type_=Text)
    made = (
        insert(table)
        .from_select([*new], select(*new.values()))
        .on_conflict_do_nothing(index_elements=link.key)
        .returning(*_shown(link))
        .cte("made")
    )
    links: Any = select(*made.c, true().label("is_new"))
    if not must_be_new:
        links = links.union_all(select(*_kept(link, item, made, new).c, false().label("is_new")))
    written = links.subquery("link")
    columns = [column for column in item.c if column.key != "linked_account_id"]
    return select(*columns, written).outerjoin(written, true())


def _kept(link: Link, item: CTE, made: CTE, new: Mapping[str, ColumnElement[Any]]) -> CTE:
    """The link that was there already, with its new values."""
    table = link.table
    key = {"account_id": item.c.linked_account_id, "item_id": item.c.id}
    found = [*(table.c[name] == key[name] for name in link.key), ~select(made).exists()]
    statement: Any = select(*_shown(link)).where(*found)
    if link.replaced:
        values = {name: new[name] for name in link.replaced}
        statement = update(table).where(*found).values(values).returning(*_shown(link))
    kept: CTE = statement.cte("kept")
    return kept


def _shown(link: Link) -> list[ColumnElement[Any]]:
    columns = link.table.c
    return [*(columns[field] for field in link.fields), columns.item_id.label("linked_item_id")]


def _equal(table: Table, names: Sequence[str]) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(name, type_=Uuid) for name in names]
