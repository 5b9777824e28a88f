"""What `satchel check` finds wrong with a database, each fault with its mend."""

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.postgres.engine import make_engine
from app.postgres.migrations import current_revision, older_revisions

OLDEST_SERVER = 150000  # PostgreSQL 15


def explain(error: Exception) -> str:
    """What the driver or the system said, in a line and without the statement and its values."""
    cause = error.driver_exception if isinstance(error, DBAPIError) else error
    said = str(cause).splitlines()
    return said[0] if said else type(cause).__name__


async def check_database(url: URL, settings: Settings) -> list[str]:
    """The faults found; empty: none."""
    engine = make_engine(url, settings)
    try:
        return [*await _check_server(engine), *await _check_schema(engine)]
    except (SQLAlchemyError, OSError) as error:
        mend = "start it" if isinstance(error, OSError) else "mend that"
        fault = f"The database cannot be used ({explain(error)})"
        return [f"{fault}: {mend}, or correct {settings.url_variable}."]
    finally:
        await engine.dispose()


async def _check_server(engine: AsyncEngine) -> list[str]:
    statement = text(
        "SELECT current_setting('server_version_num')::int AS version,"
        " current_setting('server_encoding') AS encoding,"
        " current_setting('transaction_read_only')::bool AS read_only"
    )
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one()
    faults = []
    if row.version < OLDEST_SERVER:
        faults.append("PostgreSQL is older than 15: use a newer server.")
    if row.encoding != "UTF8":
        faults.append(f"The database is encoded in {row.encoding}: make one in UTF8.")
    if row.read_only:
        faults.append(
            "The database is read-only: name the primary, or add ?target_session_attrs=read-write."
        )
    return faults


async def _check_schema(engine: AsyncEngine) -> list[str]:
    revision = await current_revision(engine)
    if revision is not None and revision not in older_revisions():
        return []
    found = "has no schema" if revision is None else f"is at revision {revision}"
    faults = [f"The database {found}: run `satchel migrate`."]
    # Who only serves need not be able to do this, so it is no fault of a schema that is there.
    statement = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    async with engine.connect() as connection:
        if not await connection.scalar(statement):
            faults.append("The user may not create tables: GRANT CREATE ON SCHEMA public TO it.")
    return faults
