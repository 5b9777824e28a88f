"""Starts the server: the parent owns socket and database, and uvicorn runs in each process."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from uvicorn.supervisors import ChangeReload

from app.accounts.service import EMAIL_KEYS
from app.auth.guard import make_verifier
from app.config import SECRETS, ConfigurationError, Settings, is_loopback, load_settings
from app.edge.protocol import ServerConfig
from app.items.service import ITEM_WORDS
from app.postgres.embedded import embedded_postgres
from app.postgres.engine import make_engine
from app.postgres.migrations import ROOT, autogenerate, migrate
from app.serving.draining import DrainingServer
from app.serving.metrics import shared_folder
from app.serving.workers import follow_parent, run_workers
from app.telemetry.tracing import make_tracing


@contextmanager
def database_url(settings: Settings) -> Iterator[URL]:
    """The configured database, or else the embedded PostgreSQL while the block runs."""
    if settings.url is not None:
        yield settings.url
    else:
        with embedded_postgres(settings.embedded_data_dir, bindir=settings.pg_bindir) as url:
            yield make_url(url)


async def migrate_database(url: URL, settings: Settings, message: str | None = None) -> None:
    """Migrate a database to the revision of this build; with a `message`, then write a migration
    from its schema to the models. Errors: RefoldingError, and those of the database.
    """
    engine = make_engine(settings.migration_url or url, settings, for_migrations=True)
    try:
        await migrate(engine, folded=[EMAIL_KEYS, ITEM_WORDS])
        if message is not None:
            async with engine.connect() as connection:
                await connection.run_sync(autogenerate, message)
    finally:
        await engine.dispose()


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, and leave no process behind.

    Errors: ConfigurationError, EmbeddedError, and those of the database during migration.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again at its end. The default handler would end this process
        # before PostgreSQL, or with a traceback.
        signal.signal(number, lambda *_: sys.exit())
    # Wrong settings are refused here, and not by each worker.
    make_tracing(settings)
    make_verifier(settings)
    with (
        _listen(settings) as listener,
        shared_folder(settings.workers),
        database_url(settings) as url,
    ):
        if settings.migrate_on_start:
            asyncio.run(migrate_database(url, settings))
        _announce(settings, listener.getsockname()[1])
        given = _given_to_workers(settings, url, reload=reload)
        _run(settings, given, listener, reload=reload)


def _listen(settings: Settings) -> socket.socket:
    """Bind the port before anything else starts, so that a failure leaves nothing to undo."""
    address = (settings.host, settings.port)
    ipv6 = ":" in settings.host
    try:
        return socket.create_server(
            address,
            family=socket.AF_INET6 if ipv6 else socket.AF_INET,
            dualstack_ipv6=ipv6 and socket.has_dualstack_ipv6(),
        )
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"HOST, PORT: {error}. Choose others.") from None


class _WorkerConfig(ServerConfig):
    """Makes the application with the settings of the environment, apart from what is `given`.

    That reaches a worker through the pipe that starts it. An environment is no place for passwords:
    other processes of the same user can read it, and every program that a worker starts gets it.
    """

    def __init__(
        self, settings: Settings, given: dict[str, Any], *, on_loopback: bool, **options: Any
    ) -> None:
        super().__init__("app.main:create_app", settings, factory=True, **options)
        self._given = given
        self._on_loopback = on_loopback

    def load_app(self) -> Any:
        create_app = super().load_app()
        return lambda: create_app(load_settings(**self._given), on_loopback=self._on_loopback)


def _given_to_workers(settings: Settings, url: URL, *, reload: bool) -> dict[str, Any]:
    """What the parent has decided. No worker reads the files of secrets again."""
    return {
        **dict.fromkeys(SECRETS),
        settings.url_variable.lower(): SecretStr(url.render_as_string(hide_password=False)),
        "replica_database_url": settings.replica_database_url,
        "config_mode": settings.mode,
        # After a reload there may be new migrations.
        "migrate_on_start": reload and settings.migrate_on_start,
        "migration_database_url": settings.migration_database_url if reload else None,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
    }


def _announce(settings: Settings, port: int) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    page = "docs" if settings.docs_enabled else ""
    sys.stderr.write(f"Satchel serves on http://{host}:{port}/{page}\n")
    sys.stderr.flush()


def _run(
    settings: Settings, given: dict[str, Any], listener: socket.socket, *, reload: bool
) -> None:
    package = Path(__file__).parent.parent
    config = _WorkerConfig(
        settings,
        given,
        on_loopback=is_loopback(listener.getsockname()[0]),
        lifespan="on",
        workers=settings.workers,
        reload=reload,
        reload_dirs=[str(package), str(ROOT / "alembic")] if reload else None,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        root_path=settings.root_path,
        timeout_graceful_shutdown=1,  # in seconds, after DrainingServer's own waits
        callback_notify=follow_parent,
        timeout_notify=1,  # in seconds
    )
    server = DrainingServer(config, settings.shutdown_delay, settings.shutdown_grace)
    if reload:
        ChangeReload(config, target=server.run, sockets=[listener]).run()
    elif settings.workers > 1:
        run_workers(server, listener)
    else:
        server.run(sockets=[listener])
