"""The whole schema on one page: every table, rule, index and relation.

Alembic's migrations create it (`make revision`); the rules that the database can state are stated
here, so that no path around the API can store what the API refuses.
"""

from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database.schema import Resource

# Sorted and compared by code point, whatever the database's own locale is.
CText = Text(collation="C")


class Account(Resource):
    __tablename__ = "accounts"

    email: Mapped[str] = mapped_column(CText)
    # The email without regard to case. Made by the service: lower() of collation C would leave
    # letters beyond ASCII alone.
    email_key: Mapped[str] = mapped_column(CText)
    username: Mapped[str] = mapped_column(CText)
    dob: Mapped[date | None]
    country: Mapped[str | None] = mapped_column(CText)
    phone_number: Mapped[str | None] = mapped_column(CText)

    items: Mapped[list["Item"]] = relationship(back_populates="account", lazy="raise")

    __table_args__ = (
        UniqueConstraint("email_key"),
        CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email_length"),
        CheckConstraint("char_length(username) BETWEEN 1 AND 100", name="username_length"),
        CheckConstraint("dob >= DATE '1900-01-01'", name="dob_range"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_format"),
        CheckConstraint("phone_number ~ '^\\+[1-9][0-9]{1,14}$'", name="phone_number_format"),
        CheckConstraint("version >= 1", name="version_range"),
        Index(None, "created", "id"),
    )


class Item(Resource):
    __tablename__ = "items"

    # NO ACTION: an account that owns items stays, unless its items are deleted with it.
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="NO ACTION"))
    name: Mapped[str] = mapped_column(CText)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2), server_default=text("0"))
    description: Mapped[str | None] = mapped_column(CText)
    image_link: Mapped[str] = mapped_column(CText)

    account: Mapped[Account] = relationship(back_populates="items", lazy="raise")

    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 50", name="name_length"),
        CheckConstraint("price BETWEEN 0 AND 9999999999.99", name="price_range"),
        CheckConstraint("char_length(description) <= 10000", name="description_length"),
        CheckConstraint("char_length(image_link) <= 1000", name="image_link_length"),
        CheckConstraint("image_link ~* '^https?://'", name="image_link_scheme"),
        CheckConstraint("version >= 1", name="version_range"),
        Index(None, "created", "id"),
        # Serves the foreign key and the items of one account in the default order.
        Index(None, "account_id", "created", "id"),
    )
