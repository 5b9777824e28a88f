"""Initial schema: accounts, items, the links between them, idempotency keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

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
    op.create_index(
        op.f("ix_accounts_country_created_id"),
        "accounts",
        ["country", "created", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_accounts_created_id"), "accounts", ["created", "id"], unique=False)
    op.create_index(op.f("ix_accounts_dob"), "accounts", ["dob"], unique=False)
    op.create_index(op.f("ix_accounts_updated_id"), "accounts", ["updated", "id"], unique=False)
    op.create_index(op.f("ix_accounts_username_id"), "accounts", ["username", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.Text(collation="C"), nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("expires", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("principal", "path", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(
        op.f("ix_idempotency_keys_expires"), "idempotency_keys", ["expires"], unique=False
    )
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
    op.create_index(op.f("ix_items_name_id"), "items", ["name", "id"], unique=False)
    op.create_index(op.f("ix_items_price_id"), "items", ["price", "id"], unique=False)
    op.create_index(op.f("ix_items_updated_id"), "items", ["updated", "id"], unique=False)
    op.create_index(
        "ix_items_words",
        "items",
        [
            sa.text(
                "to_tsvector('simple', regexp_replace("
                "name || ' ' || coalesce(description, ''), "
                "'[\\x01-\\x2f:-@\\[-`{-\\x7f\\u00a0-\\u00bf\\u2000-\\u206f\\u3000-\\u303f]+'"
                ", ' ', 'g'))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "favorites",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_favorites_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name=op.f("fk_favorites_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_favorites")),
    )
    op.create_index(
        op.f("ix_favorites_item_id_created_account_id"),
        "favorites",
        ["item_id", "created", "account_id"],
        unique=False,
    )
    op.create_table(
        "reservations",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_reservations_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name=op.f("fk_reservations_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_reservations")),
        sa.UniqueConstraint("item_id", name=op.f("uq_reservations_item_id")),
    )
    op.create_table(
        "wishes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("note", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "created",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("char_length(note) <= 1000", name=op.f("ck_wishes_note_length")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_wishes_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name=op.f("fk_wishes_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "item_id", name=op.f("pk_wishes")),
    )
    op.create_index(
        op.f("ix_wishes_account_id_created_item_id"),
        "wishes",
        ["account_id", "created", "item_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_wishes_item_id_created_account_id"),
        "wishes",
        ["item_id", "created", "account_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_wishes_item_id_created_account_id"), table_name="wishes")
    op.drop_index(op.f("ix_wishes_account_id_created_item_id"), table_name="wishes")
    op.drop_table("wishes")
    op.drop_table("reservations")
    op.drop_index(op.f("ix_favorites_item_id_created_account_id"), table_name="favorites")
    op.drop_table("favorites")
    op.drop_index("ix_items_words", table_name="items", postgresql_using="gin")
    op.drop_index(op.f("ix_items_updated_id"), table_name="items")
    op.drop_index(op.f("ix_items_price_id"), table_name="items")
    op.drop_index(op.f("ix_items_name_id"), table_name="items")
    op.drop_index(op.f("ix_items_created_id"), table_name="items")
    op.drop_index(op.f("ix_items_account_id_created_id"), table_name="items")
    op.drop_table("items")
    op.drop_index(op.f("ix_idempotency_keys_expires"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("ix_accounts_username_id"), table_name="accounts")
    op.drop_index(op.f("ix_accounts_updated_id"), table_name="accounts")
    op.drop_index(op.f("ix_accounts_dob"), table_name="accounts")
    op.drop_index(op.f("ix_accounts_created_id"), table_name="accounts")
    op.drop_index(op.f("ix_accounts_country_created_id"), table_name="accounts")
    op.drop_table("accounts")
