"""The directory of an embedded PostgreSQL: its paths, its locks, and whether its server runs."""

import contextlib
import hashlib
import os
import socket
import sys
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlencode

with contextlib.suppress(ImportError):  # on Windows, which is refused by name
    import fcntl

PORT = 5432  # not a TCP port: only a part of the socket's name
_MAX_SOCKET_PATH = 103  # bytes; macOS allows 103, Linux 107


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run; the message says why and what to do."""


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # so that all processes mean the same directory
        self.data = self.path / "data"
        self.log = self.path / "postgres.log"
        self.socket = self._socket_dir() / f".s.PGSQL.{PORT}"
        query = urlencode({"host": self.socket.parent, "port": PORT}, quote_via=quote)
        self.url = f"postgresql+asyncpg://postgres@/postgres?{query}"

    def _socket_dir(self) -> Path:
        """`socket` in the home, or a short name under /tmp if a socket cannot have that path."""
        near = self.path / "socket"
        fits = len(os.fsencode(near)) + len(f"/.s.PGSQL.{PORT}") <= _MAX_SOCKET_PATH
        # The excluded characters separate hosts in URLs and directories in PostgreSQL's settings.
        if fits and str(near).isprintable() and not set(',:"\\').intersection(str(near)):
            return near
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(f"/tmp/satchel-{os.geteuid()}-{digest}")

    def open(self, name: str) -> BinaryIO:
        """A file for appending that only this user can read; a symbolic link is refused."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(self.path / name, flags, mode=0o600), "ab")

    def failure(self, problem: str) -> EmbeddedError:
        """An error with the last lines of the server's log."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode(errors="replace").splitlines()[-12:]
            problem = "\n".join([problem, f"The end of {self.log}:", *lines])
        return EmbeddedError(problem)

    def listening_pid(self) -> int | None:
        """The process that listens on the socket, from the kernel: a pid file may be stale."""
        # Linux's struct ucred begins with the process id; macOS has SOL_LOCAL, LOCAL_PEERPID.
        level, option = (
            (0, 2) if sys.platform == "darwin" else (socket.SOL_SOCKET, socket.SO_PEERCRED)
        )
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.socket))
            return int.from_bytes(client.getsockopt(level, option, 4), sys.byteorder)
        return None

    def ready_pid(self) -> int | None:
        """The server that accepts queries: its pid file ends with "ready", and it listens."""
        with contextlib.suppress(FileNotFoundError):
            if (self.data / "postmaster.pid").read_bytes().rstrip().endswith(b"ready"):
                return self.listening_pid()
        return None


def try_lock(file: BinaryIO, *, wait: bool = False) -> bool:
    """Whether this open file now holds the lock; with `wait`, sleeps until it does.

    The kernel frees it when the last process that has the file open, also by inheritance, ends.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(file: BinaryIO) -> None:
    fcntl.flock(file, fcntl.LOCK_UN)
