"""Makes engines, and sets the limits of their connections."""

from typing import Any, Final

import structlog
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config import Settings, driver_arguments
from app.postgres import commits, hosts
from app.postgres.poolers import Connect, OwnSessions, PooledConnection, give_sessions_back
from app.postgres.recovery import Pool, replace_dead_connections

log = structlog.get_logger("satchel.sql")

# The age at which the pool replaces a connection.
RECYCLE_SECONDS = 1800
# For each host of the URL.
CONNECT_TIMEOUT_SECONDS = 2.0
MIGRATION_CONNECT_TIMEOUT_SECONDS = 5.0
# How long SQLAlchemy's pool waits for a connection. `Statements` queues callers before that.
POOL_TIMEOUT_SECONDS = 2.0
# Grace on top of statement_timeout before the client gives up.
STATEMENT_GRACE_SECONDS = 1.0
# The limits that PostgreSQL keeps, and the setting of each.
SERVER_LIMITS: Final = {
    "statement_timeout": "statement_timeout",
    "lock_timeout": "lock_timeout",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout",
}
# A replica refuses to run in the isolation SERIALIZABLE, which may be the database's default.
_OF_REPLICAS: Final = {"default_transaction_isolation": "repeatable read"}


def make_engine(
    url: URL,
    settings: Settings,
    *,
    autocommit: bool = False,
    for_migrations: bool = False,
    for_replica: bool = False,
) -> AsyncEngine:
    """An engine, which connects at its first statement.

    With `autocommit` each statement is its own transaction: one round trip instead of three for
    BEGIN, statement and COMMIT. `transactional` makes a view with ordinary transactions.
    All are isolated as the database does it by default.
    The limits of the settings do not hold `for_migrations`, which set their own. Those need
    sessions, so that a pooler is refused (PoolerFound), as it is unless the settings name it; and
    so it is `for_replica`, whose sessions must all be of one server.
    """
    connect: Connect = _connect_to_migrate if for_migrations else _connect
    if for_replica:
        settings = settings.model_copy(update={"database_pooler": "none"})
    is_pooled = settings.database_pooler == "transaction" and not for_migrations
    if is_pooled:
        url = url.update_query_dict({"prepared_statement_cache_size": "0"})
    else:
        advice = advice_on_pooler(settings, for_migrations=for_migrations, for_replica=for_replica)
        connect = OwnSessions(connect, advice, logs=not for_migrations).connect
    url, arguments = driver_arguments(url)
    limits: dict[str, Any] = (
        {"async_creator_fn": connect} if for_migrations else _limits(settings, connect)
    )
    if for_replica:
        limits["server_settings"] |= _OF_REPLICAS
    engine = create_async_engine(
        url,
        poolclass=Pool,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        skip_autocommit_rollback=True,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        hide_parameters=True,  # keeps what clients sent out of error messages and logs
        connect_args={**limits, **arguments},
    )
    replace_dead_connections(engine)
    if is_pooled:
        give_sessions_back(engine)
    return engine


def server_limits(settings: Settings) -> dict[str, int]:
    """In milliseconds, by PostgreSQL's names; without those that are left to the database."""
    seconds = {name: getattr(settings, setting) for name, setting in SERVER_LIMITS.items()}
    return {name: round(limit * 1000) for name, limit in seconds.items() if limit}


def make_probe(url: URL, settings: Settings, *, for_replica: bool = False) -> AsyncEngine:
    """An engine for the watchdog, which has a timeout of its own."""
    alone = settings.model_copy(update={"pool_size": 1, "statement_timeout": 0})
    return make_engine(url, alone, autocommit=True, for_replica=for_replica)


def make_export_engine(url: URL, settings: Settings, *, for_replica: bool = False) -> AsyncEngine:
    own = {"pool_size": settings.max_exports, "statement_timeout": settings.export_timeout}
    own_settings = settings.model_copy(update=own)
    return make_engine(url, own_settings, autocommit=True, for_replica=for_replica)


def _limits(settings: Settings, connect: Connect) -> dict[str, Any]:
    """Options of connections. The server's limits are start-up parameters, which cost no request a
    round trip. Poolers refuse them: behind one, the limits are those of the role.
    """
    parameters = {name: str(limit) for name, limit in server_limits(settings).items()}
    return {
        "async_creator_fn": connect,
        "command_timeout": settings.statement_timeout + STATEMENT_GRACE_SECONDS
        if settings.statement_timeout
        else None,
        **(
            {"server_settings": {"application_name": "satchel", **parameters}}
            if settings.database_pooler == "none"
            else {"connection_class": PooledConnection}
        ),
    }


async def _connect(**options: Any) -> commits.Connection:
    return await hosts.connect(CONNECT_TIMEOUT_SECONDS, options)


async def _connect_to_migrate(**options: Any) -> commits.Connection:
    return await hosts.connect(MIGRATION_CONNECT_TIMEOUT_SECONDS, options)


def advice_on_pooler(
    settings: Settings, *, for_migrations: bool = False, for_replica: bool = False
) -> str:
    """What to do about a pooler where none may be."""
    variable, fix = settings.url_variable, "set DATABASE_POOLER=transaction"
    if for_replica:
        variable, fix = "REPLICA_DATABASE_URL", "set it to a URL that leads past it"
    if for_migrations:
        fix = "set MIGRATION_DATABASE_URL to a URL that leads past it"
        if settings.migration_url is not None:
            variable = "MIGRATION_DATABASE_URL"
    return f"{variable} leads to a pooler that shares sessions, such as PgBouncer: {fix}."


def transactional(engine: AsyncEngine) -> AsyncEngine:
    """A view of an engine on the same pool, with ordinary transactions."""
    # SQLAlchemy has no name for the default of the database. This one is replaced before use.
    view = engine.execution_options(isolation_level="READ COMMITTED")
    event.listen(view.sync_engine, "engine_connect", _isolate_by_default)
    return view


def _isolate_by_default(connection: Connection) -> None:
    adapted: Any = connection.connection.dbapi_connection
    adapted.set_isolation_level(None)  # BEGIN then names none


def log_statements(engine: AsyncEngine) -> None:
    """Log each statement, without its values."""
    event.listen(engine.sync_engine, "before_cursor_execute", _log_statement)


def _log_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    log.debug("sql", statement=" ".join(statement.split()))
