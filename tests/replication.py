"""Servers that replay what another one writes."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.postgres.backups import environment
from app.postgres.embedded import embedded_postgres, find_binaries
from tests.databases import FAST
from tests.factories import next_number
from tests.waiting import PATIENCE, until

# With `synchronous_commit` off, as in FAST, a commit may not be in the log yet when it is seen.
PRIMARY = {**FAST, "synchronous_commit": "on"}


@dataclass
class Primary:
    """A database, and its replicas, which can be stopped."""

    url: URL
    folder: Path
    replicas: ExitStack = field(default_factory=ExitStack)

    def replicate(self) -> URL:
        """Start another replica."""
        home = self.folder / f"replica{next_number()}"
        return self.replicas.enter_context(replica_of(self.url, home))


@contextmanager
def replica_of(primary: URL, home: Path) -> Iterator[URL]:
    """A replica, with its data in `home`, as long as the block runs."""
    home.mkdir(mode=0o700)
    subprocess.run(
        [find_binaries(None) / "pg_basebackup", "-D", home / "data", "-R", "-c", "fast", "-N"],
        env=environment(primary),
        check=True,
        timeout=PATIENCE,
    )
    with embedded_postgres(home, settings=PRIMARY) as url:
        yield make_url(url).set(database=primary.database)


async def value_of(server: URL, expression: str) -> object:
    """The value of an expression in SQL."""
    engine = create_async_engine(server, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.scalar(text(f"SELECT {expression}"))


@asynccontextmanager
async def holding_replay(primary: URL, replica: URL) -> AsyncIterator[None]:
    """The replica answers, and what the primary commits in the block does not come to it.

    A replica whose replay is paused by `pg_wal_replay_pause` could be resumed by others.
    """

    async def has_caught_up() -> bool:
        # The process is stopped where it waits, and not with a lock in its hands.
        at = await value_of(primary, "pg_current_wal_flush_lsn()::text")
        return bool(await value_of(replica, f"pg_last_wal_replay_lsn() = '{at}'"))

    await until(has_caught_up)
    startup = "pid FROM pg_stat_activity WHERE backend_type = 'startup'"
    with _stopped([int(str(await value_of(replica, startup)))]):
        yield


@asynccontextmanager
async def frozen(server: URL) -> AsyncIterator[None]:
    """No process of the server does anything in the block."""
    main = str(await value_of(server, "pg_read_file('postmaster.pid')")).split()[0]
    others = str(await value_of(server, "string_agg(pid::text, ' ') FROM pg_stat_activity"))
    with _stopped([int(main), *map(int, others.split())]):
        yield


@contextmanager
def _stopped(processes: Sequence[int]) -> Iterator[None]:
    def signal_all(number: int) -> None:
        for process in processes:
            with suppress(ProcessLookupError):  # the one that was asked
                os.kill(process, number)

    signal_all(signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(signal.SIGCONT)
