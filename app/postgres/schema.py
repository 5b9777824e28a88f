"""Conventions of the schema: the declarative base and how constraints are named."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, Table, func, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


# When a row came into being: the start of the statement, so equal in all its columns.
Created = Annotated[
    datetime,
    mapped_column(TIMESTAMP(timezone=True), server_default=func.statement_timestamp()),
]


class Resource(Base):
    """What every resource with an address of its own has; set by the system, never by clients."""

    __abstract__ = True

    # UUIDv7 sorts by time of creation, so new rows land at the end of the primary key's index.
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    # The start of the statement, so that both are equal in a new row.
    created: Mapped[datetime] = mapped_column(
        TIMESTAMP(timezone=True), server_default=func.statement_timestamp(), sort_order=1
    )
    updated: Mapped[datetime] = mapped_column(
        TIMESTAMP(timezone=True), server_default=func.statement_timestamp(), sort_order=1
    )
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"), sort_order=1)


def table_of(entity: type[Base]) -> Table:
    """The table, for statements that need nothing of the ORM: they cost half as much to run."""
    table = entity.__table__
    assert isinstance(table, Table)
    return table


def columns_of(entity: type[Base], schema: type) -> list[Column[Any]]:
    """The columns that a read schema (a TypedDict) names, in its order."""
    return [table_of(entity).c[name] for name in schema.__annotations__]
