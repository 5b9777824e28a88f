"""Keeps a server running on a home for as long as a process wants one, alone or with others."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import structlog

from app.postgres.embedded.binaries import find_binaries
from app.postgres.embedded.fault import EmbeddedError
from app.postgres.embedded.home import Home, try_lock
from app.postgres.embedded.launch import Leaving, stop, wait_until
from app.postgres.embedded.server import start_server

log = structlog.get_logger("satchel.embedded")

# Seconds between two looks at whether the server, or the process that owns it, still lives.
_GLANCE = 0.25


@contextlib.contextmanager
def embedded_postgres(
    home: Path, *, bindir: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of a PostgreSQL with its data in `home`, running while the block runs.

    `settings` are PostgreSQL's own, but where its socket lies is not for them to say; without any,
    what is committed survives a power failure and nobody comes in by TCP.
    The first process on a home owns the server, later ones share it. When the owner leaves, one of
    those takes over: connections break and the database is away for about half a second. So it is
    when the server itself is killed. Errors: EmbeddedError.
    """
    if sys.platform not in {"linux", "darwin"}:
        raise EmbeddedError(
            f"The embedded PostgreSQL runs on Linux and macOS, not on {sys.platform}. Name a"
            " running database in DEVELOPMENT_DATABASE_URL (or TEST_DATABASE_URL,"
            " STAGING_DATABASE_URL, PRODUCTION_DATABASE_URL)."
        )
    keeper = Keeper(Home(home.resolve()), find_binaries(bindir), dict(settings or {}))
    keeper.start()
    try:
        keeper.ready.result()
        yield keeper.home.url
    finally:
        keeper.leaving.set()
        keeper.join()


class Keeper(threading.Thread):
    """A thread, because Linux ends the server with the thread that started it, not the process.

    This one lives as long as the server is wanted, whichever thread asked for it. A daemon, so that
    a process that ends in disorder ends; the server then follows it.
    """

    def __init__(self, home: Home, bindir: Path, settings: Mapping[str, str]) -> None:
        super().__init__(name="embedded-postgres", daemon=True)
        self.home, self.bindir, self.settings = home, bindir, settings
        self.ready: Future[None] = Future()
        self.leaving = threading.Event()

    def run(self) -> None:
        try:
            while not self.leaving.is_set():
                self._try_to_take_part()
                self.leaving.wait(_GLANCE)
        finally:
            if not self.ready.done():  # a mistake of ours must not keep the caller waiting
                self.ready.set_exception(EmbeddedError("The embedded PostgreSQL's thread failed."))

    def _try_to_take_part(self) -> None:
        fault: EmbeddedError | None = None
        try:
            self._take_part()
        except Leaving:
            return
        except EmbeddedError as error:
            fault = error
        except (OSError, subprocess.SubprocessError) as error:
            fault = self._explained(error)
        if fault is not None and self.ready.done():
            log.error("embedded_postgresql_failed", detail=str(fault))
            self.leaving.wait(1)  # rather than fill the log
        elif fault is not None:
            self.ready.set_exception(fault)
            self.leaving.set()

    def _take_part(self) -> None:
        """Share the server of another process while there is one, else run it."""
        self.home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.home.open("owner.lock") as lock:
            wait_until(
                lambda: try_lock(lock) or self.home.ready_pid() is not None,
                self.leaving,
                lambda: (
                    f"Another process owns {self.home.path}, but its PostgreSQL does not get ready."
                    f"\n{self.home.log_end()}"
                ),
            )
            while not try_lock(lock):
                self._set_ready()
                if self.leaving.wait(_GLANCE):
                    return
            self._own()

    def _own(self) -> None:
        server = start_server(self.home, self.bindir, self.settings, self.leaving)
        try:
            self._set_ready()
            while server.poll() is None and not self.leaving.wait(_GLANCE):
                pass
        finally:
            stop(server)
            with contextlib.suppress(OSError):  # nothing is left in it but after a crash
                self.home.socket_dir.rmdir()
        if not self.leaving.is_set():
            log.warning("embedded_postgresql_died", status=server.returncode)

    def _set_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _explained(self, error: Exception) -> EmbeddedError:
        explained = EmbeddedError(
            f"The embedded PostgreSQL cannot work in {self.home.path}: {error}."
            " Mend that, or choose another EMBEDDED_DATA_DIR."
        )
        explained.__cause__ = error
        return explained
