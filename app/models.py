"""The whole schema on one page: every table, constraint, index and relationship.

Alembic's migrations create it (`make revision`). Every rule that PostgreSQL can enforce is a
constraint, so that no other client of the database can store what the API refuses.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

# Sorted and compared by code point, independently of the locale of the database.
CText = Text(collation="C")


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


def table_of(model: type[Base]) -> Table:
    """The table of a model, for Core statements: they cost half as much as those of the ORM."""
    table = model.__table__
    assert isinstance(table, Table)
    return table


# The start of the statement, so that `created` and `updated` of a new row are equal.
Created = Annotated[
    datetime,
    mapped_column(TIMESTAMP(timezone=True), server_default=func.statement_timestamp()),
]


class Entity(Base):
    """The columns of every resource that has an id; the system sets them, clients cannot."""

    __abstract__ = True

    # UUIDv7 sorts by creation time, so new rows go to the end of the primary key's index.
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created: Mapped[datetime] = mapped_column(
        TIMESTAMP(timezone=True), server_default=func.statement_timestamp(), sort_order=1
    )
    updated: Mapped[datetime] = mapped_column(
        TIMESTAMP(timezone=True), server_default=func.statement_timestamp(), sort_order=1
    )
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"), sort_order=1)


class Account(Entity):
    __tablename__ = "accounts"

    email: Mapped[str] = mapped_column(CText)
    # Equal for two emails that are one. The service makes it, since lower() under collation C
    # only changes ASCII letters.
    email_key: Mapped[str] = mapped_column(CText)
    username: Mapped[str] = mapped_column(CText)
    dob: Mapped[date | None]
    country: Mapped[str | None] = mapped_column(CText)
    phone_number: Mapped[str | None] = mapped_column(CText)

    # One to many: an account owns items.
    items: Mapped[list["Item"]] = relationship(back_populates="account", lazy="raise")
    # Many to one: an account has one favorite, an item is the favorite of many.
    favorite: Mapped["Favorite | None"] = relationship(back_populates="account", lazy="raise")
    # One to one: an account holds one reservation, an item is reserved once.
    reservation: Mapped["Reservation | None"] = relationship(back_populates="account", lazy="raise")
    # Many to many: accounts wish for items, with a note on each wish.
    wishes: Mapped[list["Wish"]] = relationship(back_populates="account", lazy="raise")

    __table_args__ = (
        UniqueConstraint("email_key"),
        CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email_length"),
        CheckConstraint("char_length(username) BETWEEN 1 AND 100", name="username_length"),
        CheckConstraint("dob >= DATE '1900-01-01'", name="dob_range"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_format"),
        CheckConstraint("phone_number ~ '^\\+[1-9][0-9]{1,14}$'", name="phone_number_format"),
        CheckConstraint("version >= 1", name="version_range"),
        Index(None, "created", "id"),
        Index(None, "updated", "id"),
        Index(None, "username", "id"),
        Index(None, "country", "created", "id"),
        Index(None, "dob"),
    )


class Item(Entity):
    __tablename__ = "items"

    # NO ACTION: an account that owns items can only be deleted together with them.
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="NO ACTION"))
    name: Mapped[str] = mapped_column(CText)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2), server_default=text("0"))
    description: Mapped[str | None] = mapped_column(CText)
    image_link: Mapped[str] = mapped_column(CText)

    # What an item is found by. The service makes them, independently of the locale of the database.
    # The default means that they are still to be made, which `satchel migrate` does.
    name_words: Mapped[str] = mapped_column(TSVECTOR, server_default=text("'?'"), sort_order=2)
    description_words: Mapped[str] = mapped_column(
        TSVECTOR, server_default=text("'?'"), sort_order=2
    )

    account: Mapped[Account] = relationship(back_populates="items", lazy="raise")
    favorites: Mapped[list["Favorite"]] = relationship(back_populates="item", lazy="raise")
    reservation: Mapped["Reservation | None"] = relationship(back_populates="item", lazy="raise")
    wishes: Mapped[list["Wish"]] = relationship(back_populates="item", lazy="raise")

    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 50", name="name_length"),
        CheckConstraint("price BETWEEN 0 AND 9999999999.99", name="price_range"),
        CheckConstraint("char_length(description) <= 10000", name="description_length"),
        CheckConstraint("char_length(image_link) <= 1000", name="image_link_length"),
        CheckConstraint("image_link ~* '^https?://'", name="image_link_scheme"),
        CheckConstraint("version >= 1", name="version_range"),
        Index(None, "created", "id"),
        Index(None, "updated", "id"),
        Index(None, "name", "id"),
        Index(None, "price", "id"),
        Index("ix_items_words", text("(name_words || description_words)"), postgresql_using="gin"),
        # Serves the foreign key and the items of one account in the default order.
        Index(None, "account_id", "created", "id"),
    )


class Favorite(Base):
    """Many to one: the primary key is the account, so each account has one at most."""

    __tablename__ = "favorites"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    )
    item_id: Mapped[UUID] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    created: Mapped[Created]

    account: Mapped[Account] = relationship(back_populates="favorite", lazy="raise")
    item: Mapped[Item] = relationship(back_populates="favorites", lazy="raise")

    __table_args__ = (Index(None, "item_id", "created", "account_id"),)


class Reservation(Base):
    """One to one: both ends are unique."""

    __tablename__ = "reservations"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    )
    item_id: Mapped[UUID] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), unique=True)
    created: Mapped[Created]

    account: Mapped[Account] = relationship(back_populates="reservation", lazy="raise")
    item: Mapped[Item] = relationship(back_populates="reservation", lazy="raise")


class Wish(Base):
    """Many to many: an association with a field of its own."""

    __tablename__ = "wishes"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    )
    item_id: Mapped[UUID] = mapped_column(
        ForeignKey("items.id", ondelete="CASCADE"), primary_key=True
    )
    note: Mapped[str | None] = mapped_column(CText)
    created: Mapped[Created]

    account: Mapped[Account] = relationship(back_populates="wishes", lazy="raise")
    item: Mapped[Item] = relationship(back_populates="wishes", lazy="raise")

    __table_args__ = (
        CheckConstraint("char_length(note) <= 1000", name="note_length"),
        Index(None, "account_id", "created", "item_id"),
        Index(None, "item_id", "created", "account_id"),
    )


class IdempotencyKey(Base):
    """The response that repeated requests get. Without a status, the first is still running."""

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(CText, primary_key=True)
    path: Mapped[str] = mapped_column(CText, primary_key=True)
    key: Mapped[str] = mapped_column(CText, primary_key=True)
    fingerprint: Mapped[bytes]
    expires: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), index=True)
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    body: Mapped[bytes | None]


class ApiKey(Base):
    """An API key without its secret, so that a copy of this table gives no access."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str] = mapped_column(CText)
    # The beginning of the key, by which people recognise it.
    prefix: Mapped[str] = mapped_column(CText)
    digest: Mapped[bytes] = mapped_column(unique=True)
    scope: Mapped[str] = mapped_column(CText)
    created: Mapped[Created]
    expires: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    # When another took its place, and its name.
    rotated: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    revoked: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    last_used: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))

    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9.-]{0,63}$'", name="name_format"),
        CheckConstraint("octet_length(digest) = 32", name="digest_length"),
        CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_known"),
        Index(
            "uq_api_keys_name",
            "name",
            unique=True,
            postgresql_where=text("revoked IS NULL AND rotated IS NULL"),
        ),
    )
