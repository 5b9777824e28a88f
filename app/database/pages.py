"""Keyset pages: the query that every list takes, its filters and sorts, and the page itself.

A page starts where the one before ended (`WHERE (key, id) > (:key, :id) ORDER BY key, id LIMIT n`),
so page 10,000 costs what page 1 costs and rows that come and go meanwhile shift nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import MISSING, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Column, Integer, Numeric, Row, Select, Uuid, bindparam, tuple_

from app.database.counts import count_rows
from app.database.cursors import decode_cursor, encode_cursor
from app.database.filters import Filter
from app.database.statements import Statements

Count = Literal["none", "exact", "estimated"]


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise PydanticCustomError("wrong_type", "Must be a whole number.")
    return value


class PageQuery(BaseModel):
    """What every list takes. A list adds its `sort` and its filters, named as in its Listing."""

    limit: Annotated[
        int, Field(ge=1, le=200, description="Rows on a page"), BeforeValidator(_digits)
    ] = 50
    cursor: Annotated[
        str | MISSING,
        Field(
            max_length=2000,
            description="`next_cursor` of the page before; opaque",
            json_schema_extra={"pattern": "^[!-~]+$"},
        ),
    ] = MISSING
    count: Annotated[
        Count,
        Field(
            description="`exact`: count the filtered rows, null where that takes more than a "
            "second; `estimated`: the planner's figure"
        ),
    ] = "none"
    sort: str = "-created"


NextCursor = Annotated[
    str | None,
    Field(description="For the page after this one; null: this is the last", examples=["b3BhcXVl"]),
]
RowCount = Annotated[
    int | None,
    Field(ge=0, description="Of all rows that the filters let through, if asked", examples=[None]),
]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON text in the form of the list's read schema, and the cursor to what follows."""

    rows: Sequence[str]
    next_cursor: str | None
    count: int | None


# Stands for the parent's id in the statement of a list that has one.
PARENT_ID = bindparam("parent_id", type_=Uuid)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What a list consists of.

    statement: selects the JSON text of its rows, those of PARENT_ID where it has a parent.
    sorts: by their names in the query; each goes with `tie`, a unique column, in one direction.
    filters: by their names in the query.
    """

    name: str
    statement: Select[Any]
    sorts: Mapping[str, Column[Any]]
    tie: Column[Any]
    filters: Mapping[str, Filter] = field(default_factory=dict)


async def fetch_page(
    session: Statements, listing: Listing, query: PageQuery, parent_id: UUID | None = None
) -> Page:
    """One page of a list: one statement, and one for the count where it is asked for.

    Errors: InvalidCursor.
    """
    given = query.model_dump(exclude={"limit", "cursor", "count", "sort"})
    filtered = _filtered(listing, tuple(given))
    parameters = {} if parent_id is None else {"parent_id": parent_id}
    for name, value in given.items():
        parameters |= listing.filters[name].parameters(name, value)

    # A cursor is good for this list, with these filters, in this order.
    binding = [listing.name, parent_id, query.sort, given]
    page = _page(listing, filtered, query.sort, query.cursor is not MISSING)
    position: dict[str, Any] = {"row_limit": query.limit + 1}
    if query.cursor is not MISSING:
        value_type = _sorted_by(listing, query.sort).type.python_type
        after = decode_cursor(query.cursor, binding, value_type)
        position |= {"after_key": after[0], "after_tie": after[1]}
    # One row more than asked for tells whether another page follows.
    found: Sequence[Row[*tuple[Any, ...]]] = (
        await session.execute(page, parameters | position)
    ).all()
    rows = found[: query.limit]
    next_cursor = None
    if len(found) > query.limit:
        next_cursor = encode_cursor(rows[-1][1], rows[-1][2], binding)
    count = await count_rows(session, filtered, parameters, query.count)
    return Page([text for text, *_ in rows], next_cursor, count)


# Making a statement costs more than running it, so each form is made once. There are as many forms
# as sorts and sets of filters; those in use stay.


@lru_cache(maxsize=1000)
def _filtered(listing: Listing, names: tuple[str, ...]) -> Select[Any]:
    return listing.statement.where(*(listing.filters[name].condition(name) for name in names))


@lru_cache(maxsize=1000)
def _page(listing: Listing, filtered: Select[Any], sort: str, after_cursor: bool) -> Select[Any]:
    column, tie = _sorted_by(listing, sort), listing.tie
    descending = sort.startswith("-")
    page = filtered.add_columns(column, tie).limit(bindparam("row_limit", type_=Integer))
    page = page.order_by(*(key.desc() if descending else key.asc() for key in (column, tie)))
    if after_cursor:
        keys = tuple_(column, tie)
        # Without precision: a forged number need not fit the column.
        key_type = Numeric() if isinstance(column.type, Numeric) else column.type
        after = tuple_(
            bindparam("after_key", type_=key_type), bindparam("after_tie", type_=tie.type)
        )
        page = page.where(keys < after if descending else keys > after)
    return page


def _sorted_by(listing: Listing, sort: str) -> Column[Any]:
    return listing.sorts[sort.removeprefix("-")]
