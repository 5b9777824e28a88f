"""Checks a database for `satchel check`: each error says how to fix it."""

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.postgres.engine import make_engine
from app.postgres.migrations import current_revision, older_revisions

OLDEST_SERVER = 150000  # PostgreSQL 15


def explain(error: Exception) -> str:
    """The first line of the message of the driver or the system, without the statement."""
    cause = error.driver_exception if isinstance(error, DBAPIError) else error
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__


async def check_database(url: URL, settings: Settings) -> list[str]:
    """The errors found."""
    engine = make_engine(url, settings)
    try:
        return [*await _check_server(engine), *await _check_schema(engine)]
    except (SQLAlchemyError, OSError) as error:
        fix = "start it" if isinstance(error, OSError) else "fix that"
        what = f"The database cannot be used ({explain(error)})"
        return [f"{what}: {fix}, or correct {settings.url_variable}."]
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
    errors = []
    if row.version < OLDEST_SERVER:
        errors.append("PostgreSQL is older than 15: use a newer server.")
    if row.encoding != "UTF8":
        errors.append(f"The database has the encoding {row.encoding}: create one with UTF8.")
    if row.read_only:
        errors.append(
            "The database is read-only: use the primary, or add ?target_session_attrs=read-write."
        )
    return errors


async def _check_schema(engine: AsyncEngine) -> list[str]:
    revision = await current_revision(engine)
    if revision is not None and revision not in older_revisions():
        return []
    found = "has no schema" if revision is None else f"is at revision {revision}"
    errors = [f"The database {found}: run `satchel migrate`."]
    # Only a missing or older schema needs this privilege.
    statement = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    async with engine.connect() as connection:
        if not await connection.scalar(statement):
            errors.append(
                "The user may not create tables: GRANT CREATE ON SCHEMA public TO this user."
            )
    return errors
