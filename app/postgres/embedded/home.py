"""The directory of the embedded PostgreSQL: its paths, its locks and what they tell."""

import contextlib
import hashlib
import os
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlencode

from app.postgres.embedded.fault import EmbeddedError

with contextlib.suppress(ImportError):  # not on Windows, which is refused by name
    import fcntl

# Not a TCP port: only a part of the socket's name.
PORT = 5432
_SOCKET = f".s.PGSQL.{PORT}"
# What a socket's path may be long in bytes: 107 on Linux, 103 on macOS.
_MAX_SOCKET_PATH = 103
# The list of directories and the URL's list of hosts split at these.
_SEPARATORS = frozenset(',:"\\')


@dataclass(frozen=True)
class Home:
    """`path` must be resolved, so that all processes mean the same directory by it."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    @property
    def socket_dir(self) -> Path:
        """`socket` in the home, or a short name under /tmp where that could not be used."""
        near = self.path / "socket"
        text = str(near)
        fits = len(os.fsencode(near / _SOCKET)) <= _MAX_SOCKET_PATH
        if fits and text.isprintable() and not _SEPARATORS.intersection(text):
            return near
        # Not hash(), which differs from process to process.
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        # Another user may have made it first: check_socket_dir() tells.
        return Path(f"/tmp/satchel-{os.geteuid()}-{digest}")

    @property
    def socket_path(self) -> Path:
        return self.socket_dir / _SOCKET

    @property
    def url(self) -> str:
        place = urlencode({"host": self.socket_dir, "port": PORT}, quote_via=quote)
        return f"postgresql+asyncpg://postgres@/postgres?{place}"

    def open(self, name: str) -> BinaryIO:
        """A file of ours for appending, private, and never somebody's symbolic link."""

        def private(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, mode=0o600)

        return open(self.path / name, "ab", opener=private)

    def log_end(self, since: int = 0) -> str:
        """The last lines of the server's log, from an offset in bytes on."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(since, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode(errors="replace").splitlines()[-12:]
            return "\n".join([f"The end of {self.log}:", *lines])
        return ""

    def check_socket_dir(self) -> None:
        """Whoever can enter that directory is the database's superuser, so nobody else may.

        Errors: EmbeddedError, OSError.
        """
        found = self.socket_dir.lstat()
        ours = found.st_uid in {os.geteuid(), self.data.stat().st_uid}
        if not (ours and stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700):
            raise EmbeddedError(
                f"{self.socket_dir} must be a directory that only this user can enter."
                " Remove it, or choose a shorter EMBEDDED_DATA_DIR."
            )

    def listening_pid(self) -> int | None:
        """Who listens on the socket; the kernel tells, so it cannot be a number used again."""
        # Linux's struct ucred begins with the process id; macOS has SOL_LOCAL, LOCAL_PEERPID.
        level, option = (
            (0, 2) if sys.platform == "darwin" else (socket.SOL_SOCKET, socket.SO_PEERCRED)
        )
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.socket_path))
            return int.from_bytes(client.getsockopt(level, option, 4), sys.byteorder)
        return None

    def ready_pid(self) -> int | None:
        """The server that takes queries now, by its own word and by its socket.

        The pid file alone proves nothing: after a crash an old one says "ready" for ever.
        """
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if lines[-1].strip() == "ready":
                self.check_socket_dir()
                if self.listening_pid() is not None:
                    return int(lines[0])
        return None


def try_lock(file: BinaryIO) -> bool:
    """Whether this open file holds the lock, at once or already.

    The kernel frees it when the last process that has this open file, by inheritance too, is gone,
    however it ended: no stale lock, no process id to be mistaken about.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
