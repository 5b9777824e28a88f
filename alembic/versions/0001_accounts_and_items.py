"""Accounts and items."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(collation="C"), nullable=False),
        sa.Column("email_key", sa.Text(collation="C"), nullable=False),
        sa.Column("username", sa.Text(collation="C"), nullable=False),
        sa.Column("dob", sa.Date(), nullable=True),
        sa.Column("country", sa.Text(collation="C"), nullable=True),
        sa.Column("phone_number", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "created",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_accounts_country_format")),
        sa.CheckConstraint("dob >= DATE '1900-01-01'", name=op.f("ck_accounts_dob_range")),
        sa.CheckConstraint(
            "phone_number ~ '^\\+[1-9][0-9]{1,14}$'", name=op.f("ck_accounts_phone_number_format")
        ),
        sa.CheckConstraint(
            "char_length(email) BETWEEN 3 AND 254", name=op.f("ck_accounts_email_length")
        ),
        sa.CheckConstraint(
            "char_length(username) BETWEEN 1 AND 100", name=op.f("ck_accounts_username_length")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_accounts_version_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email_key", name=op.f("uq_accounts_email_key")),
    )
    op.create_index(op.f("ix_accounts_created_id"), "accounts", ["created", "id"], unique=False)
    op.create_table(
        "items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "price", sa.Numeric(precision=12, scale=2), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("description", sa.Text(collation="C"), nullable=True),
        sa.Column("image_link", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "created",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("image_link ~* '^https?://'", name=op.f("ck_items_image_link_scheme")),
        sa.CheckConstraint(
            "char_length(description) <= 10000", name=op.f("ck_items_description_length")
        ),
        sa.CheckConstraint(
            "char_length(image_link) <= 1000", name=op.f("ck_items_image_link_length")
        ),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 50", name=op.f("ck_items_name_length")),
        sa.CheckConstraint("price BETWEEN 0 AND 9999999999.99", name=op.f("ck_items_price_range")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_items_version_range")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_items_account_id"), ondelete="NO ACTION"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
    )
    op.create_index(
        op.f("ix_items_account_id_created_id"),
        "items",
        ["account_id", "created", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_items_created_id"), "items", ["created", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_items_created_id"), table_name="items")
    op.drop_index(op.f("ix_items_account_id_created_id"), table_name="items")
    op.drop_table("items")
    op.drop_index(op.f("ix_accounts_created_id"), table_name="accounts")
    op.drop_table("accounts")
