"""Lists: keyset pages of filtered and sorted rows.

A page starts where the previous one ended (`WHERE (key, id) > (:key, :id) ORDER BY key, id LIMIT
n`), so page 10,000 costs as much as page 1, and rows inserted or deleted meanwhile shift nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import MISSING, AfterValidator, BaseModel, BeforeValidator, Field, create_model
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Integer,
    Numeric,
    Select,
    Uuid,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InvalidCursor
from app.postgres.sessions import execute_list
from app.resources.counts import count_rows
from app.resources.cursors import (
    TYPES,
    binding_of,
    decode_cursor,
    encode_cursor,
    is_intact,
)
from app.resources.fields import fault
from app.resources.filters import Filter
from app.resources.times import InstantIn

Count = Literal["none", "exact", "estimated"]


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise fault("wrong_type", "Must be a whole number.")
    return value


def _intact(cursor: str) -> str:
    if not is_intact(cursor):
        raise fault("invalid_format", InvalidCursor.advice)
    return cursor


class PageQuery(BaseModel):
    """The parameters of every list. A list adds its `sort` and filters, named as in its Listing."""

    limit: Annotated[
        int, Field(ge=1, le=200, description="Rows on a page"), BeforeValidator(_digits)
    ] = 50
    cursor: Annotated[
        Annotated[str, Field(max_length=2000), AfterValidator(_intact)] | MISSING,
        Field(
            description="`next_cursor` of the page before, whose filters and sort must be given "
            "again; opaque",
            json_schema_extra={"pattern": "^[!-~]+$"},
        ),
    ] = MISSING
    count: Annotated[
        Count,
        Field(
            description="`exact`: count the filtered rows, null where that takes more than a "
            "second; `estimated`: the planner's figure, counted where that is below 10,000"
        ),
    ] = "none"
    sort: str = "-created"


class TimestampsQuery(PageQuery):
    """The parameters of a list that also filters by when its rows were created and updated."""

    created_gte: InstantIn | MISSING = MISSING
    created_lt: InstantIn | MISSING = MISSING
    updated_gte: InstantIn | MISSING = MISSING
    updated_lt: InstantIn | MISSING = MISSING


Read = TypeVar("Read")


class Page(BaseModel, Generic[Read]):
    """A page of a list."""

    data: Annotated[list[Read], Field(max_length=200)]
    next_cursor: Annotated[
        str | None,
        Field(
            description="The `cursor` for the page after this one, with the same filters and "
            "sort; null: this is the last",
            examples=["b3BhcXVl"],
        ),
    ]
    count: Annotated[
        int | None,
        Field(
            ge=0, description="Of all rows that the filters let through, if asked", examples=[None]
        ),
    ]


def page_of(read: type[Any], rows: str) -> type[BaseModel]:
    """The schema of a page of such rows, under a name that generated clients can use."""
    page: Any = Page
    name = f"{read.__name__.removesuffix('Read')}Page"
    schema: type[BaseModel]
    schema = create_model(name, __base__=page[read], __doc__=f"A page of {rows}.")
    return schema


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a page, the cursor to those that follow, and the count.

    text: JSON texts in the form of the list's read schema, with commas between them.
    """

    text: str
    next_cursor: str | None
    count: int | None


# The parent's id in the statement of a list that has one.
PARENT_ID = bindparam("parent_id", type_=Uuid)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What a list consists of, checked when it is made. Errors: TypeError.

    name: binds cursors to the list.
    statement: selects the JSON text of the rows, those of PARENT_ID where the list has a parent.
    sorts: columns by their names in the query. Each is sorted together with `tie`, a unique column.
    filters: by their names in the query.
    """

    name: str
    statement: Select[Any]
    sorts: Mapping[str, Column[Any]]
    tie: Column[Any]
    filters: Mapping[str, Filter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.sorts.values():
            if column.nullable:  # a row comparison with NULL holds for no row
                raise TypeError(
                    f"{column} may be NULL, so that a list sorted by it would lose rows"
                )
            if column.type.python_type not in TYPES:
                raise TypeError(f"{column}: cursors cannot hold {column.type!r}")


async def fetch_rows(
    session: AsyncSession, listing: Listing, query: PageQuery, parent_id: UUID | None = None
) -> Rows:
    """One page of a list: one statement, and one for the count where it is asked for.

    Errors: InvalidCursor.
    """
    filtered, parameters = filter_rows(listing, query)
    if parent_id is not None:
        parameters["parent_id"] = parent_id

    # A cursor is valid for this list, with these filters, in this order.
    binding = binding_of(listing.name, query.sort, parameters)
    statement = _page(listing, filtered, query.sort, query.cursor is not MISSING)
    # One row more than asked for shows whether another page follows.
    position: dict[str, Any] = {"row_limit": query.limit, "row_limit_and_one": query.limit + 1}
    if query.cursor is not MISSING:
        value_type = _sorted_by(listing, query.sort).type.python_type
        after = decode_cursor(query.cursor, binding, value_type)
        position |= {"after_key": after[0], "after_tie": after[1]}
    result = await execute_list(session, statement, parameters | position)
    row: Any = result.one()
    found, text, key, tie = row
    next_cursor = encode_cursor(key, tie, binding) if found > query.limit else None
    count = await count_rows(session, filtered, parameters, query.count)
    return Rows(text or "", next_cursor, count)


def filter_rows(listing: Listing, query: BaseModel) -> tuple[Select[Any], dict[str, Any]]:
    """The statement of the rows that the filters of a query let through, and its parameters."""
    given = listing.filters.keys() & query.model_fields_set
    parameters: dict[str, Any] = {}
    for name in given:
        parameters |= listing.filters[name].parameters(name, getattr(query, name))
    return _filtered(listing, frozenset(given)), parameters


def order_of(listing: Listing, sort: str) -> list[ColumnElement[Any]]:
    """What rows are ordered by."""
    keys = (_sorted_by(listing, sort), listing.tie)
    return [key.desc() if sort.startswith("-") else key.asc() for key in keys]


# Building a statement costs more than running it, so each form is built once. There are as many
# forms as sorts and sets of filters; those in use stay cached.


@lru_cache(maxsize=1000)
def _filtered(listing: Listing, names: frozenset[str]) -> Select[Any]:
    conditions = (listing.filters[name].condition(name) for name in sorted(names))
    return listing.statement.where(*conditions)


@lru_cache(maxsize=1000)
def _page(listing: Listing, filtered: Select[Any], sort: str, after_cursor: bool) -> Select[Any]:
    """The number of rows up to one more than the limit, the text of those up to the limit, and the
    key and tie of the last of them. One row of arrays is cheaper to decode than many rows.
    """
    column, tie = _sorted_by(listing, sort), listing.tie
    descending = sort.startswith("-")
    (row,) = filtered.selected_columns
    page = filtered.with_only_columns(row.label("row"), column.label("key"), tie.label("tie"))
    page = page.order_by(*order_of(listing, sort))
    page = page.limit(bindparam("row_limit_and_one", type_=Integer))
    if after_cursor:
        keys = tuple_(column, tie)
        # Without precision: a forged number need not fit the column.
        key_type = Numeric() if isinstance(column.type, Numeric) else column.type
        after = tuple_(
            bindparam("after_key", type_=key_type), bindparam("after_tie", type_=tie.type)
        )
        page = page.where(keys < after if descending else keys > after)
    ordered = page.subquery()  # aggregates take the rows in the order that they come in
    limit = bindparam("row_limit", type_=Integer)
    rows, positions, ties = (func.array_agg(each, type_=ARRAY(each.type)) for each in ordered.c)
    text = func.array_to_string(rows[1:limit], ",")
    return select(func.count(), text, positions[limit], ties[limit]).select_from(ordered)


def _sorted_by(listing: Listing, sort: str) -> Column[Any]:
    return listing.sorts[sort.removeprefix("-")]
