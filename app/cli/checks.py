"""Checks a database for `satchel check`: each error says how to fix it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import TargetServerAttributeNotMatched
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.constructs import find_lacking
from app.config import Settings
from app.postgres.engine import SERVER_LIMITS, advice_on_pooler, make_engine, server_limits
from app.postgres.failures import FAILURES
from app.postgres.freshness import BEHIND, IDENTITY, NO_REPLICA, OTHER_DATABASE, Freshness
from app.postgres.migrations import current_revision, older_revisions
from app.postgres.poolers import PoolerFound, is_proxied, share_sessions

OLDEST_SERVER = 150000  # PostgreSQL 15
# What tells a database from others.
_IDENTITY = text(f"SELECT {IDENTITY}")
# How long a replica has to show that it is fresh enough.
REPLICA_PATIENCE_SECONDS = 5.0
_FIXES = {
    NO_REPLICA: "name a replica, or unset it",
    OTHER_DATABASE: "name a replica of the same cluster, with the same name of the database",
    BEHIND: "see pg_stat_replication on the primary, or raise REPLICA_MAX_LAG",
}


def explain(error: Exception) -> str:
    """The first line of the message of the driver or the system, without the statement."""
    cause = error.driver_exception if isinstance(error, DBAPIError) else error
    if isinstance(cause, TargetServerAttributeNotMatched):
        return "no host is what target_session_attrs asks for"
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__


async def check_database(url: URL, settings: Settings) -> list[str]:
    """The errors found."""
    try:
        if settings.database_pooler == "none" and await _leads_to_pooler(url, settings):
            return [advice_on_pooler(settings)]
        async with _disposing(make_engine(url, settings)) as engine:
            errors = [
                *await _check_server(engine),
                *await _check_limits(engine, settings),
                *await _check_schema(engine),
                *await _check_migration_url(engine, settings),
            ]
            return errors or [
                f"The database cannot do {use} ({explain(error)}): see docs/scale.md."
                for use, error in (await find_lacking(engine)).items()
            ]
    except (SQLAlchemyError, OSError) as error:
        return [_unusable(error, "The database", settings.url_variable)]


async def check_replica(replica: URL, primary: URL, settings: Settings) -> list[str]:
    """The errors found, of one of the replicas if there are several."""
    async with (
        _disposing(make_engine(primary, settings, autocommit=True)) as engine,
        _disposing(make_engine(replica, settings, autocommit=True, for_replica=True)) as other,
    ):
        freshness = Freshness(engine, settings.replica_max_lag)
        try:
            async with other.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                reason = await _reason_against(driver, freshness)
        except PoolerFound as error:
            return [str(error)]
        except FAILURES as error:
            return [_unusable(error, "The replica", "REPLICA_DATABASE_URL")]
    return [] if reason is None else [f"{reason[0].upper()}{reason[1:]}: {_FIXES[reason]}."]


async def _reason_against(driver: Any, freshness: Freshness) -> str | None:
    """Why the replica of a connection of the driver may not serve; None if it may."""
    deadline = time.monotonic() + REPLICA_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        await freshness.take_position()
        look = await freshness.look(driver)
        if look.reason is not None or look.lag < math.inf:
            return look.reason
        await asyncio.sleep(freshness.interval)
    return BEHIND


async def note_on_pooler(url: URL, settings: Settings) -> list[str]:
    """What is no error, but should be known of a database without errors."""
    if settings.database_pooler == "none":
        return []
    if not await _leads_to_pooler(url, settings):
        found = f"{settings.url_variable} leads to no pooler that shares sessions"
        return [f"{found}: DATABASE_POOLER=transaction doubles the round trips of each statement."]
    if settings.migration_url is None:
        return ["`satchel migrate`, `backup` and `restore` need MIGRATION_DATABASE_URL."]
    return []


def _unusable(error: Exception, what: str, variable: str) -> str:
    fix = "start it" if isinstance(error, OSError) else "fix that"
    return f"{what} cannot be used ({explain(error)}): {fix}, or correct {variable}."


@asynccontextmanager
async def _disposing(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    try:
        yield engine
    finally:
        await engine.dispose()


async def _leads_to_pooler(url: URL, settings: Settings) -> bool:
    # As behind one, which refuses other connections.
    own = settings.model_copy(update={"database_pooler": "transaction", "pool_size": 2})
    async with (
        _disposing(make_engine(url, own, autocommit=True)) as engine,
        engine.connect() as one,
    ):
        driver = (await one.get_raw_connection()).driver_connection
        if not await is_proxied(driver):
            return False
        async with engine.connect() as two:
            return await share_sessions(driver, (await two.get_raw_connection()).driver_connection)


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


async def _check_limits(engine: AsyncEngine, settings: Settings) -> list[str]:
    """The limits that connections through a pooler cannot set."""
    if settings.database_pooler == "none":
        return []
    wanted = server_limits(settings)
    statement = text(
        "SELECT name, setting::int, quote_ident(session_user) AS role,"
        " quote_ident(current_database()) AS database FROM pg_settings WHERE name = ANY(:names)"
        " ORDER BY name"
    )
    async with engine.connect() as connection:
        found = (await connection.execute(statement, {"names": list(wanted)})).all()
    return [
        f"{row.name} is {row.setting} ms and not {wanted[row.name]} ms"
        f" ({SERVER_LIMITS[row.name].upper()}):"
        f" ALTER ROLE {row.role} IN DATABASE {row.database} SET {row.name} = {wanted[row.name]};"
        " then RECONNECT in the console of PgBouncer."
        for row in found
        if row.setting != wanted[row.name]
    ]


async def _check_migration_url(engine: AsyncEngine, settings: Settings) -> list[str]:
    if settings.migration_url is None:
        return []
    async with engine.connect() as connection:
        served = (await connection.execute(_IDENTITY)).one()
    try:
        async with _disposing(
            make_engine(settings.migration_url, settings, for_migrations=True)
        ) as migrating:
            async with migrating.connect() as connection:
                migrated = (await connection.execute(_IDENTITY)).one()
            errors = await _check_server(migrating)
    except PoolerFound as error:
        return [str(error)]
    except (SQLAlchemyError, OSError) as error:
        what = "The database of MIGRATION_DATABASE_URL"
        return [_unusable(error, what, "MIGRATION_DATABASE_URL")]
    if migrated != served:
        other = f"another database than {settings.url_variable}"
        return [f"MIGRATION_DATABASE_URL leads to {other}: correct one of them."]
    return [f"MIGRATION_DATABASE_URL: {error}" for error in errors]


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
