"""Starts a program of PostgreSQL, waits for what it does, and stops it."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.postgres.embedded.fault import EmbeddedError
from app.postgres.embedded.home import Home
from app.postgres.embedded.privileges import ServerUser

# Seconds that any wait may take; recovery after a crash is the longest of them.
PATIENCE = 60.0
# Seconds for a fast shutdown, which rolls back and writes all down, and for an immediate one.
_FAST = 30.0
_IMMEDIATE = 10.0


class Leaving(Exception):
    """The caller wants no server any more."""


def wait_until(
    condition: Callable[[], bool], leaving: threading.Event, fault: Callable[[], str]
) -> None:
    """Errors: Leaving; EmbeddedError, with the text of `fault`, when patience is over."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{fault()} (waited {PATIENCE:.0f} s)")
        if leaving.wait(0.02):
            raise Leaving


@dataclass(frozen=True)
class Launch:
    """All that the start of a server needs to know; `lock` and `log` are open files."""

    home: Home
    bindir: Path
    settings: Mapping[str, str]
    leaving: threading.Event
    user: ServerUser
    lock: BinaryIO
    log: BinaryIO
    log_start: int

    def fault(self, text: str) -> str:
        return f"{text}\n{self.home.log_end(self.log_start)}"

    @contextlib.contextmanager
    def running(self, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """A child that is stopped if the block raises."""
        # Only -c and our own locale count, not what the caller's shell sets for psql.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
        process = subprocess.Popen(
            self.user.command(*command),
            cwd="/",
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            # Each of its processes holds the lock from now on, and its end frees it.
            pass_fds=[self.lock.fileno()],
            # Ctrl-C in the terminal is for us; the server is asked when its users are done.
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            stop(process)
            raise


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the server to leave, each time less kindly, and returns when it has left."""
    for number, seconds in ((signal.SIGINT, _FAST), (signal.SIGQUIT, _IMMEDIATE)):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    process.kill()
    process.wait()
