"""What `satchel check` finds wrong with a database, each fault with its mend."""

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.database.engine import make_engine
from app.database.migrations import current_revision, older_revisions

OLDEST_SERVER = 150000  # PostgreSQL 15


async def check_database(url: URL, settings: Settings) -> list[str]:
    """The faults found; empty: none. Errors: those of connecting."""
    engine = make_engine(url, settings)
    try:
        async with engine.connect() as connection:
            faults = await _check_server(connection)
        revision = await current_revision(engine)
    finally:
        await engine.dispose()
    if revision is None:
        faults.append("The database has no schema: run `satchel migrate`.")
    elif revision in older_revisions():
        faults.append(f"The schema is at revision {revision}: run `satchel migrate`.")
    return faults


async def _check_server(connection: AsyncConnection) -> list[str]:
    row = (
        await connection.execute(
            text(
                "SELECT current_setting('server_version_num')::int AS version,"
                " current_setting('server_encoding') AS encoding,"
                " current_setting('transaction_read_only')::bool AS read_only,"
                " has_schema_privilege(current_schema(), 'CREATE') AS may_create"
            )
        )
    ).one()
    faults = []
    if row.version < OLDEST_SERVER:
        faults.append("PostgreSQL is older than 15: use a newer server.")
    if row.encoding != "UTF8":
        faults.append(f"The database is encoded in {row.encoding}: make one in UTF8.")
    if row.read_only:
        faults.append("The server is read-only: name the primary, or add target_session_attrs.")
    if not row.may_create:
        faults.append("The user may not create tables: GRANT CREATE ON SCHEMA public TO it.")
    return faults
