"""Filters of lists: conditions on parameters, so that a statement serves every value of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, any_, bindparam

# Longer than any text that is stored, and behind all that begins alike.
_LAST = "\U0010ffff" * 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a parameter of the filter's name, and the parameters that a value makes."""

    condition: Callable[[str], ColumnElement[bool]]
    parameters: Callable[[str, Any], dict[str, Any]] = lambda name, value: {name: value}


def equals(column: Column[Any], key: Callable[[Any], Any] = lambda value: value) -> Filter:
    """The column is the `key` of the value."""
    return Filter(
        lambda name: column == bindparam(name, type_=column.type),
        lambda name, value: {name: key(value)},
    )


def any_of(column: Column[Any]) -> Filter:
    return Filter(lambda name: column == any_(bindparam(name, type_=ARRAY(column.type))))


def at_least(column: Column[Any]) -> Filter:
    return Filter(lambda name: column >= bindparam(name, type_=column.type))


def at_most(column: Column[Any]) -> Filter:
    return Filter(lambda name: column <= bindparam(name, type_=column.type))


def less_than(column: Column[Any]) -> Filter:
    return Filter(lambda name: column < bindparam(name, type_=column.type))


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
    """The first text behind all that begins with the prefix."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:
            after = 0xE000 if code == 0xD7FF else code + 1
            return prefix[:position] + chr(after)
    return _LAST
