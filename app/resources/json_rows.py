"""Rows as JSON text, written by PostgreSQL.

A page of 50 rows has some 450 values. Fetched one by one, each is decoded, named, validated and
encoded again in Python; as text the whole row is passed on. The text is what Pydantic would write.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    String,
    Text,
    Uuid,
    literal_column,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

INSTANT = """to_char(timezone('UTC', {}), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def json_object(members: Mapping[str, Column[Any] | ColumnElement[str]]) -> ColumnElement[str]:
    """SQL for the text of an object with these members, in this order.

    A member is a column, or another such text. All is fixed when the program starts, so the SQL is
    written once: SQLAlchemy need not walk through it for each statement. Errors: TypeError for a
    column of a type whose JSON would not be Pydantic's.
    """
    arguments, before = [], "{"
    for name, member in members.items():
        opening, value, closing = json_member(member)
        arguments += [f"'{before}\"{name}\":{opening}'", value]
        before = f"{closing},"
    arguments.append(f"'{before[:-1]}}}'")
    return literal_column(f"concat({', '.join(arguments)})", Text)


def json_row(columns: Sequence[Column[Any]]) -> ColumnElement[str]:
    """SQL for the text of an object of these columns."""
    return json_object({column.key: column for column in columns})


def json_member(member: Column[Any] | ColumnElement[str]) -> tuple[str, str, str]:
    """What precedes the value, SQL for the value, which is never null, and what follows it."""
    if not isinstance(member, Column):
        return "", str(member), ""
    name = f"{member.table.name}.{member.name}"
    if isinstance(member.type, TIMESTAMP):
        quote, value = '"', INSTANT.format(name)
    elif isinstance(member.type, Uuid) or type(member.type) is Numeric:
        quote, value = '"', name
    elif isinstance(member.type, String | Date | Boolean | Integer):
        quote, value = "", f"to_json({name})"
    else:
        raise TypeError(f"{name}: JSON rows cannot hold {member.type!r}")
    if not member.nullable:
        return quote, value if quote or not isinstance(member.type, Integer) else name, quote
    text = f"'\"' || {value} || '\"'" if quote else value
    return "", f"coalesce({text}, 'null')", ""
