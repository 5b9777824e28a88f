"""Filters of lists: conditions on parameters, so that one statement serves all their values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, any_, bindparam
from sqlalchemy.sql.base import ReadOnlyColumnCollection

# Longer than any stored text, and sorted after everything that begins with the same characters.
_LAST = "\U0010ffff" * 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on parameters named after the filter, and the parameters for a value."""

    condition: Callable[[str], ColumnElement[bool]]
    parameters: Callable[[str, Any], dict[str, Any]] = lambda name, value: {name: value}


def equals(column: Column[Any], key: Callable[[Any], Any] = lambda value: value) -> Filter:
    """The column equals the `key` of the value."""
    return Filter(
        lambda name: column == bindparam(name, type_=column.type),
        lambda name, value: {name: key(value)},
    )


def any_of(column: Column[Any]) -> Filter:
    """The column equals any of the values."""
    return Filter(
        lambda name: column == any_(bindparam(name, type_=ARRAY(column.type))),
        lambda name, values: {name: sorted(set(values))},
    )


def at_least(column: Column[Any]) -> Filter:
    return Filter(lambda name: column >= bindparam(name, type_=column.type))


def at_most(column: Column[Any]) -> Filter:
    return Filter(lambda name: column <= bindparam(name, type_=column.type))


def less_than(column: Column[Any]) -> Filter:
    return Filter(lambda name: column < bindparam(name, type_=column.type))


def timestamps(columns: ReadOnlyColumnCollection[str, Column[Any]]) -> dict[str, Filter]:
    """The filters by `created` and `updated` that every resource has."""
    return {
        "created_gte": at_least(columns.created),
        "created_lt": less_than(columns.created),
        "updated_gte": at_least(columns.updated),
        "updated_lt": less_than(columns.updated),
    }


def starts_with(column: Column[Any]) -> Filter:
    """Text under collation C that begins with the value, as a range that an index serves.

    LIKE would need escapes, and an index only where the planner knows the pattern.
    """
    return Filter(
        lambda name: (
            (column >= bindparam(name, type_=column.type))
            & (column < bindparam(f"{name}_end", type_=column.type))
        ),
        lambda name, prefix: {name: prefix, f"{name}_end": _end_of(prefix)},
    )


def _end_of(prefix: str) -> str:
    """The first text after everything that begins with the prefix."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:
            after = 0xE000 if code == 0xD7FF else code + 1
            return prefix[:position] + chr(after)
    return _LAST
