"""Serving: the parent starts PostgreSQL and migrates, then uvicorn runs one process or several."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from sqlalchemy import URL, make_url
from uvicorn.supervisors import ChangeReload, Multiprocess

from app.config import Settings
from app.database.embedded import embedded_postgres
from app.database.engine import make_engine
from app.database.migrations import autogenerate, migrate
from app.http.protocol import IgnoreUpgradeProtocol


@contextmanager
def database_url(settings: Settings) -> Iterator[URL]:
    """The mode's database; where none is named, the embedded PostgreSQL as long as this lasts."""
    if settings.url is not None:
        yield settings.url
    else:
        with embedded_postgres(settings.embedded_data_dir, bindir=settings.pg_bindir) as url:
            yield make_url(url)


async def migrate_database(url: URL, settings: Settings) -> None:
    engine = make_engine(url, settings)
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


def write_revision(settings: Settings, message: str) -> None:
    """Write a migration that takes the mode's database, once migrated, to the models."""

    async def write(url: URL) -> None:
        await migrate_database(url, settings)
        engine = make_engine(url, settings)
        async with engine.connect() as connection:
            await connection.run_sync(autogenerate, message)
        await engine.dispose()

    with database_url(settings) as url:
        asyncio.run(write(url))


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; leaves no process behind."""
    # uvicorn raises the signal again when it is done; the default would end us before PostgreSQL.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with database_url(settings) as url:
        if settings.migrate_on_start:
            asyncio.run(migrate_database(url, settings))
        _hand_down(settings, url)
        config = uvicorn.Config(
            "app.main:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            reload=reload,
            reload_dirs=["app"] if reload else None,
            http=IgnoreUpgradeProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
        )
        socket = config.bind_socket()
        _announce(settings, socket.getsockname()[1])
        if reload:
            ChangeReload(config, target=uvicorn.Server(config).run, sockets=[socket]).run()
        elif settings.workers > 1:
            Multiprocess(config, sockets=[socket]).run()
        else:
            uvicorn.Server(config).run(sockets=[socket])


def _hand_down(settings: Settings, url: URL) -> None:
    """What the parent has settled, for the processes that uvicorn starts."""
    os.environ["CONFIG_MODE"] = settings.mode
    os.environ[settings.url_variable] = url.render_as_string(hide_password=False)
    os.environ["MIGRATE_ON_START"] = "false"
    os.environ["HOST"] = settings.host
    os.environ["PORT"] = str(settings.port)


def _announce(settings: Settings, port: int) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    page = "docs" if settings.docs_enabled else ""
    print(f"Satchel serves on http://{host}:{port}/{page}", file=sys.stderr, flush=True)  # noqa: T201
