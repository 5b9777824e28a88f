"""The one PostgreSQL of a run: its settings, the databases in it, and what it has counted."""

import asyncio
import io
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, make_url

from app.postgres.embedded import embedded_postgres
from benchmarks.data import ACCOUNT_COLUMNS, ITEM_COLUMNS, Amount, account_csv, item_csv
from benchmarks.measure import parent_of

# What is not PostgreSQL's default, and why it is not.
SETTINGS = {
    "fsync": "off",  # the disk of whoever runs this is not what is measured
    "autovacuum": "off",  # it would fall on one contestant's seconds and not on another's
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
    "max_connections": "400",
    "shared_buffers": "512MB",
    "shared_preload_libraries": "pg_stat_statements",
}


class Postgres:
    """A running server, and what the harness asks of it."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.socket_dir = str(url.query["host"])
        self.port = str(url.query["port"])
        self.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.version = str(self._run("postgres", lambda c: c.fetchval("SHOW server_version")))
        self.pid = int(self._run("postgres", _postmaster))

    def _run(self, database: str, act: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(
                host=self.socket_dir, port=int(self.port), user="postgres", database=database
            )
            try:
                return await act(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def execute(self, sql: str, database: str = "postgres") -> None:
        self._run(database, lambda connection: connection.execute(sql))

    def rows(self, sql: str, database: str = "postgres") -> list[Any]:
        return list(self._run(database, lambda connection: connection.fetch(sql)))

    def count_accounts(self, database: str) -> int:
        return int(self._run(database, lambda c: c.fetchval("SELECT count(*) FROM accounts")))

    def count_statements(self, database: str) -> int:
        """Statements of clients in a database so far, BEGIN and COMMIT among them."""
        sql = """
            SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
            WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1)"""
        return int(self._run("postgres", lambda c: c.fetchval(sql, database)))

    def url_of(self, database: str, driver: str) -> str:
        url = self.url.set(drivername=driver, database=database)
        return url.render_as_string(hide_password=False)

    def environment_of(self, database: str) -> dict[str, str]:
        """libpq's variables, which asyncpg and node-postgres know too."""
        return {
            "PGHOST": self.socket_dir,
            "PGPORT": self.port,
            "PGUSER": "postgres",
            "PGDATABASE": database,
        }

    def create(self, database: str, template: str = "template0") -> None:
        self.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY file_copy')

    def load(
        self,
        database: str,
        amount: Amount,
        accounts: tuple[str, ...] = ACCOUNT_COLUMNS,
        items: tuple[str, ...] = ITEM_COLUMNS,
    ) -> None:
        """Fill these columns of the tables `accounts` and `items`."""
        self._copy(database, "accounts", accounts, account_csv(amount, accounts))
        self._copy(database, "items", items, item_csv(amount, items))
        self.execute("VACUUM ANALYZE", database)

    def _copy(self, database: str, table: str, columns: tuple[str, ...], csv: bytes) -> None:
        source = io.BytesIO(csv)
        self._run(
            database,
            lambda c: c.copy_to_table(table, source=source, columns=columns, format="csv"),
        )


async def _postmaster(connection: Any) -> int:
    return parent_of(await connection.fetchval("SELECT pg_backend_pid()"))


@contextmanager
def running_postgres(home: Path) -> Iterator[Postgres]:
    bindir = os.environ.get("PG_BINDIR")
    with embedded_postgres(home, bindir=Path(bindir) if bindir else None, settings=SETTINGS) as url:
        yield Postgres(make_url(url))
