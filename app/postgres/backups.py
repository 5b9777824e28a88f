"""Backs up a database to a file and restores it, by the programs of PostgreSQL."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from sqlalchemy import URL, text
from sqlalchemy.dialects.postgresql import asyncpg

from app.config import Settings
from app.postgres.embedded import folders_with, major_version
from app.postgres.engine import make_engine

CONNECT_TIMEOUT_SECONDS = 5
# The variable of PostgreSQL's programs for each of the driver's parameters.
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "database": "PGDATABASE",
    "ssl": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
# Who owns what and who may use it depends on the roles of a server.
_OPTIONS = ("--no-owner", "--no-privileges")
_SET = re.compile(rb"SET (\w+) =")
# PostgreSQL 15.20 has this for each column, pg_dump 18.6 copies it, and other servers refuse it.
_VERSION = re.compile(rb"ALTER TABLE .* ALTER COLUMN .* SET \(pg_attver=\d+\);\s*")
# The lines before the first statement that makes something.
_PREAMBLE = re.compile(rb"\s*$|--|SET |SELECT pg_catalog\.set_config|\\restrict ")


class BackupError(Exception):
    """A database could not be backed up or restored. It is as it was."""


@dataclass(frozen=True)
class _Server:
    major: int
    settings: frozenset[str]  # the names of those that it has
    tables: list[str]  # all but those of extensions


def back_up(url: URL, settings: Settings, file: IO[bytes]) -> None:
    """Write the whole database to a file, in `pg_dump`'s custom format, as one snapshot.

    Errors: BackupError, and those of the database.
    """
    server = asyncio.run(_inspect(url, settings))
    if not server.tables:
        raise BackupError("The database has no tables.")
    programs = find_clients(settings.pg_bindir, server.major)
    command = (programs / "pg_dump", "--format=custom", *_OPTIONS)
    with TemporaryFile() as errors:
        done = subprocess.run(
            command, env=environment(url), stdout=file, stderr=errors, check=False
        )
        if done.returncode:
            raise BackupError(_first_line(errors))


def restore(url: URL, settings: Settings, file: Path) -> None:
    """Restore a backup into an empty database, in one transaction, of an older major version too.

    Errors: BackupError, and those of the database.
    """
    server = asyncio.run(_inspect(url, settings))
    if server.tables:
        raise BackupError(
            f"The database is not empty: it has the table {server.tables[0]}."
            " Create a new database, or choose another EMBEDDED_DATA_DIR."
        )
    programs = find_clients(settings.pg_bindir, server.major)
    with (
        TemporaryFile() as read_errors,
        TemporaryFile() as write_errors,
        _running(
            (programs / "pg_restore", *_OPTIONS, "--file=-", file),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=read_errors,
        ) as reader,
        _running(
            (programs / "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
            env=environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=write_errors,
        ) as writer,
    ):
        assert reader.stdout is not None
        assert writer.stdin is not None
        with suppress(BrokenPipeError), writer.stdin as script:  # psql stops at an error
            # Not psql's --single-transaction, which commits what a damaged file begins with.
            script.write(b"BEGIN;\n")
            script.writelines(known_to(server.settings, reader.stdout))
            shutil.copyfileobj(reader.stdout, script)
            if reader.wait() == 0:
                script.write(b"ANALYZE;\nCOMMIT;\n")
        reader.stdout.close()
        failed = writer.wait()
        if reader.wait() > 0:  # it is ended by a signal where psql stops first
            raise BackupError(f"{_first_line(read_errors)} ({programs})")
        if failed:
            raise BackupError(_first_line(write_errors))


def find_clients(bindir: Path | None, server: int) -> Path:
    """The folder of programs of a server's major version or a newer one. Errors: BackupError."""
    found: list[int] = []
    for folder in folders_with(("pg_dump", "pg_restore", "psql"), bindir):
        found.append(major_version(folder, "pg_dump"))
        if found[-1] >= server:
            return folder.resolve()
    others = f"only those of {max(found)} were found" if found else "none were found"
    raise BackupError(
        f"pg_dump, pg_restore and psql of PostgreSQL {server} or newer are needed; {others}."
        f" Install postgresql-client-{server}, or set PG_BINDIR to their folder."
    )


def environment(url: URL) -> dict[str, str]:
    """The environment for PostgreSQL's programs. Others see command lines, and so passwords."""
    dialect: Any = asyncpg.dialect  # which has no types
    parameters: dict[str, Any] = dialect().create_connect_args(url)[1]
    values = {
        _VARIABLES[name]: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in parameters.items()
        if name in _VARIABLES
    }
    return {
        **os.environ,
        "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_SECONDS),
        "LC_ALL": "C",
        **values,
    }


def known_to(settings: Container[str], script: Iterable[bytes]) -> Iterator[bytes]:
    """The lines up to the first row, without what a server does not have: settings before the first
    statement, and the versions that some releases keep in the options of columns.
    """
    is_preamble = True
    for line in script:
        is_preamble = is_preamble and _PREAMBLE.match(line) is not None
        found = _SET.match(line) if is_preamble else None
        if (found is None or found[1].decode() in settings) and not _VERSION.fullmatch(line):
            yield line
        if line.startswith(b"COPY "):
            return


async def _inspect(url: URL, settings: Settings) -> _Server:
    tables = text(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND relkind <> 'i'"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')"
        " ORDER BY 1"
    )
    names = text("SELECT name FROM pg_settings")
    version = text("SELECT current_setting('server_version_num')::int / 10000")
    engine = make_engine(url, settings, for_migrations=True)
    try:
        async with engine.connect() as connection:
            return _Server(
                major=(await connection.execute(version)).scalar_one(),
                settings=frozenset((await connection.scalars(names)).all()),
                tables=list((await connection.scalars(tables)).all()),
            )
    finally:
        await engine.dispose()


@contextmanager
def _running(command: tuple[str | Path, ...], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed if it outlives the block."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _first_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.readline().decode(errors="replace").strip()
