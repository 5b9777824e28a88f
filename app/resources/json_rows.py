"""Rows as JSON text, written by PostgreSQL.

A page of 50 rows has some 450 values. Fetched one by one each is decoded, named, validated and
encoded again in Python; as text the whole row is passed on. The text is what Pydantic would write.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, Numeric, Text, Uuid, literal_column
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.postgres.schema import Base, columns_of

_INSTANT = """to_char(timezone('UTC', {}), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def json_object(members: Mapping[str, Column[Any] | ColumnElement[str]]) -> ColumnElement[str]:
    """SQL for the text of an object with these members, in this order.

    A member is a column, or another such text. All is fixed when the program starts, so the SQL is
    written out once: SQLAlchemy need not walk through it for each statement.
    """
    arguments, before = [], "{"
    for name, member in members.items():
        opening, value, closing = _member(member)
        arguments += [f"'{before}\"{name}\":{opening}'", value]
        before = f"{closing},"
    arguments.append(f"'{before[:-1]}}}'")
    return literal_column(f"concat({', '.join(arguments)})", Text)


def json_row(entity: type[Base], schema: type) -> ColumnElement[str]:
    """SQL for the text of a row in the form of its read schema."""
    return json_object({column.key: column for column in columns_of(entity, schema)})


def _member(member: Column[Any] | ColumnElement[str]) -> tuple[str, str, str]:
    """What stands before the value, the value, and what stands behind it."""
    if not isinstance(member, Column):
        return "", str(member), ""
    name = f"{member.table.name}.{member.name}"
    if isinstance(member.type, Integer):
        return "", name, ""
    if isinstance(member.type, TIMESTAMP):
        return '"', _INSTANT.format(name), '"'
    if isinstance(member.type, Uuid | Numeric):
        return '"', name, '"'
    return (
        "",
        f"coalesce(to_json({name})::text, 'null')" if member.nullable else f"to_json({name})",
        "",
    )
