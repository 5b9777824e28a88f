"""A resource: the facts that reads, lists, inserts and writes of its rows follow from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast, get_args

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    UniqueConstraint,
    select,
)

from app.errors import FaultCode, Problem
from app.models import Entity, table_of
from app.resources.filters import Filter, timestamps
from app.resources.json_rows import json_row
from app.resources.lists import PARENT_ID, Listing, PageQuery, TimestampsQuery

Read = TypeVar("Read")
MakeProblem = Callable[[], Problem]

_SYSTEM_COLUMNS = ("id", "created", "updated", "version")
# What a foreign key does when its row is deleted, other than keeping it.
_FOLLOWS = ("CASCADE", "SET NULL", "SET DEFAULT")


@dataclass(frozen=True, slots=True, eq=False)
class Resource(Generic[Read]):
    """What is true of a resource, checked when it is made. Errors: TypeError.

    read: the schema of a row, a TypedDict whose fields are columns of the model.
    query: the schema of the list's query, which has these sorts and filters and no others.
    not_found: the problem of an id that no row has.
    sorts: the columns that lists sort by, by their names in the query.
    filters: the filters of lists, by their names in the query; a TimestampsQuery adds its own.
    unique: columns without equals among all rows, each with the problem of a second equal value.
    references: columns with a foreign key, each with the problem of a row that is not there.
    dependents: foreign keys of other tables that keep a row from being deleted, by the name of the
    constraint, each with its problem.
    """

    model: type[Entity]
    read: type[Read]
    query: type[PageQuery]
    not_found: MakeProblem
    sorts: Mapping[str, Column[Any]]
    filters: Mapping[str, Filter] = field(default_factory=dict)
    unique: Mapping[str, MakeProblem] = field(default_factory=dict)
    references: Mapping[str, MakeProblem] = field(default_factory=dict)
    dependents: Mapping[str, MakeProblem] = field(default_factory=dict)

    # What follows from it.
    table: Table = field(init=False)
    columns: Sequence[Column[Any]] = field(init=False)  # of a row, in the order of `read`
    names: Sequence[str] = field(init=False)
    json: ColumnElement[str] = field(init=False)  # a row as JSON text
    listing: Listing = field(init=False)
    problems: Mapping[str, MakeProblem] = field(init=False)  # by the name of a constraint

    def __post_init__(self) -> None:
        table = table_of(self.model)
        missing = [name for name in self.read.__annotations__ if name not in table.c]
        missing += [name for name in _SYSTEM_COLUMNS if name not in self.read.__annotations__]
        if missing:
            raise TypeError(f"{self.read.__name__} and {table.name} differ in {', '.join(missing)}")
        columns = [table.c[name] for name in self.read.__annotations__]
        json = json_row(columns)
        by_time = timestamps(table.c) if issubclass(self.query, TimestampsQuery) else {}
        filters = {**by_time, **self.filters}
        own = {
            "table": table,
            "columns": columns,
            "names": tuple(self.read.__annotations__),
            "json": json,
            "filters": filters,
            "problems": {
                **_named(table, "uq", self.unique),
                **_named(table, "fk", self.references),
                **self.dependents,
            },
            "listing": Listing(
                table.name,
                select(json).select_from(table),
                sorts=self.sorts,
                tie=table.c.id,
                filters=filters,
            ),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)
        _check_query(self.query, self.sorts, self.filters)
        _check_constraints(table, self.problems, self.dependents)
        _check_indexes(table, self.sorts.values())

    def row(self, values: Sequence[Any]) -> Read:
        """A row from the values of `columns`; values behind them are left out."""
        return cast(Read, dict(zip(self.names, values, strict=False)))

    def listing_of(self, name: str, parent: Column[Any]) -> Listing:
        """The list of the rows whose `parent` column is one id; `name` binds its cursors."""
        return Listing(
            name,
            self.listing.statement.where(parent == PARENT_ID),
            sorts=self.sorts,
            tie=self.table.c.id,
            filters=self.filters,
        )


def _named(table: Table, kind: str, problems: Mapping[str, MakeProblem]) -> dict[str, MakeProblem]:
    """The problems by the names that constraints of a single column have by convention."""
    return {f"{kind}_{table.name}_{column}": problem for column, problem in problems.items()}


def _check_query(
    query: type[PageQuery], sorts: Iterable[str], filters: Mapping[str, Filter]
) -> None:
    fields = query.model_fields
    offered = set(get_args(fields["sort"].annotation))
    for kind, differing in (
        ("filters", (fields.keys() - PageQuery.model_fields.keys()) ^ filters.keys()),
        ("sorts", offered ^ {f"{sign}{name}" for name in sorts for sign in ("", "-")}),
    ):
        if differing:
            names = ", ".join(sorted(differing))
            raise TypeError(f"{query.__name__} and the {kind} differ in {names}")


def _check_constraints(
    table: Table, problems: Mapping[str, MakeProblem], dependents: Mapping[str, MakeProblem]
) -> None:
    tables = table.metadata.tables.values()
    names = {str(constraint.name) for each in tables for constraint in each.constraints}
    if unknown := problems.keys() - names:
        raise TypeError(f"there is no constraint {', '.join(sorted(unknown))}")
    for code in {problem().code for problem in dependents.values()} - {*get_args(FaultCode)}:
        raise TypeError(f"{code} must be a FaultCode too: batches tell it at each row")
    for key in (key for each in tables for key in each.foreign_key_constraints):
        keeps = key.referred_table is table and key.ondelete not in _FOLLOWS
        if keeps and key.name not in problems:
            raise TypeError(f"{key.name} keeps rows of {table.name}: it needs a problem")


def _check_indexes(table: Table, sorts: Iterable[Column[Any]]) -> None:
    """Each sort needs an index of its column and the id, unless the column is unique. A foreign key
    needs one that begins with its column.
    """
    indexed = {tuple(column.name for column in index.columns)[:2] for index in table.indexes}
    unique = [
        list(constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    for column in sorts:
        if [column] not in unique and (column.name, "id") not in indexed:
            raise TypeError(f"a sort by {column} needs Index(None, {column.name!r}, 'id')")
    first = {names[:1] for names in indexed}
    for column in (key.parent for key in table.foreign_keys):
        if [column] not in unique and (column.name,) not in first:
            raise TypeError(f"{column} needs Index(None, {column.name!r}, 'created', 'id')")
