"""Keyset pages: the query that every list takes, its filters and sorts, and the page itself.

A page starts where the one before ended (`WHERE (key, id) > (:key, :id) ORDER BY key, id LIMIT n`),
so page 10,000 costs what page 1 costs and rows that come and go meanwhile shift nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import MISSING, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.database.counts import count_rows
from app.database.cursors import decode_cursor, encode_cursor

Column = InstrumentedAttribute[Any]
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
            json_schema_extra={"pattern": "^[!-~]*$"},
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


@dataclass(frozen=True)
class Listing:
    """What a list consists of.

    json: the text of a row, in the form of the read schema.
    sorts: by their names in the query; each goes with `tie`, a unique column, in one direction.
    filters: by their names in the query; each makes a condition of the value.
    """

    name: str
    json: ColumnElement[str]
    sorts: Mapping[str, Column]
    tie: Column
    filters: Mapping[str, Callable[[Any], ColumnElement[bool]]] = field(default_factory=dict)

    def conditions(self, query: PageQuery) -> list[ColumnElement[bool]]:
        given = ((make, getattr(query, name)) for name, make in self.filters.items())
        return [make(value) for make, value in given if value is not MISSING]


async def fetch_page(
    session: AsyncSession,
    listing: Listing,
    statement: Select[Any],
    query: PageQuery,
    scope: object = None,
) -> Page:
    """One page of a list, from a statement that selects the listing's json.

    scope: what else the statement depends on, such as the parent in the path.
    One statement, and one for the count where it is asked for. Errors: InvalidCursor.
    """
    statement = statement.where(*listing.conditions(query))
    column, tie = listing.sorts[query.sort.removeprefix("-")], listing.tie
    descending = query.sort.startswith("-")
    # A cursor is good for this list, with these filters, in this order.
    binding = [listing.name, scope, query.model_dump(exclude={"limit", "cursor", "count"})]

    page = statement.add_columns(column, tie).limit(query.limit + 1)
    page = page.order_by(*(key.desc() if descending else key.asc() for key in (column, tie)))
    if query.cursor is not MISSING:
        position = tuple_(*decode_cursor(query.cursor, binding, column.type.python_type))
        keys = tuple_(column, tie)
        page = page.where(keys < position if descending else keys > position)
    # One row more than asked for tells whether another page follows.
    found = (await session.execute(page)).all()
    rows = found[: query.limit]
    next_cursor = None
    if len(found) > query.limit:
        next_cursor = encode_cursor(rows[-1][1], rows[-1][2], binding)
    count = await count_rows(session, statement, query.count)
    return Page([row[0] for row in rows], next_cursor, count)


def starts_with(column: Column, prefix: str) -> ColumnElement[bool]:
    """Text under collation C that begins with `prefix`, as a range that an index serves.

    LIKE would need escapes, and an index only where the planner knows the pattern.
    """
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:
            after = 0xE000 if code == 0xD7FF else code + 1
            return (column >= prefix) & (column < prefix[:position] + chr(after))
    return column >= prefix
