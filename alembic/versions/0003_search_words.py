"""Search words of items, which the service makes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = ("name_words", "description_words")
PUNCTUATION = "[\\x01-\\x2f:-@\\[-`{-\\x7f\\u00a0-\\u00bf\\u2000-\\u206f\\u3000-\\u303f]+"


def upgrade() -> None:
    op.drop_index("ix_items_words", table_name="items", postgresql_using="gin")
    for column in COLUMNS:
        # Of the rows that are there, and of those that an earlier build inserts. `satchel migrate`
        # makes their words after the schema.
        not_made = sa.text("'?'")
        op.add_column(
            "items",
            sa.Column(column, postgresql.TSVECTOR(), server_default=not_made, nullable=False),
        )
    op.create_index(
        "ix_items_words",
        "items",
        [sa.text("(name_words || description_words)")],
        unique=False,
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index("ix_items_words", table_name="items", postgresql_using="gin")
    for column in COLUMNS:
        op.drop_column("items", column)
    op.create_index(
        "ix_items_words",
        "items",
        [
            sa.text(
                "to_tsvector('simple', regexp_replace("
                f"name || ' ' || coalesce(description, ''), '{PUNCTUATION}', ' ', 'g'))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
