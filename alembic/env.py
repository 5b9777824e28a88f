"""How Alembic reaches the schema: on a connection it is handed, or writing SQL for a review."""

from alembic import context

from app.models import Account
from app.postgres.migrations import LIMITS

connection = context.config.attributes.get("connection")

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", target_metadata=Account.metadata, literal_binds=True
    )
    for name, value in LIMITS.items():
        context.execute(f"SET {name} = '{value}'")
elif connection is None:
    raise SystemExit("Run `satchel migrate`: it finds the database and locks it.")
else:
    context.configure(
        connection=connection,
        target_metadata=Account.metadata,
        compare_type=True,
        compare_server_default=True,
    )

with context.begin_transaction():
    context.run_migrations()
