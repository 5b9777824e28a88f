"""Chooses the user that the server runs as: PostgreSQL refuses to run as root."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from app.postgres.embedded.home import EmbeddedError

with contextlib.suppress(ImportError):  # on Windows, which is refused by name
    import pwd


class ServerUser(NamedTuple):
    """`wrapper` is the start of every command line."""

    uid: int
    gid: int
    wrapper: tuple[str, ...] = ()

    def own(self, folder: Path) -> None:
        """Give a directory and all that is in it to the user; links are not followed."""
        if folder.stat().st_uid != self.uid:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_user(data: Path) -> ServerUser:
    """The user for a data directory, which need not exist.

    Errors: EmbeddedError when the directory belongs to another user, or root has none to use.
    """
    me, owner = os.geteuid(), data.stat() if data.exists() else None
    if me != 0 and owner is not None and owner.st_uid != me:
        raise EmbeddedError(
            f"{data} belongs to user {owner.st_uid}, but this is user {me}."
            " Start Satchel as its owner, or choose another EMBEDDED_DATA_DIR."
        )
    if me != 0:
        return ServerUser(me, os.getegid())
    if owner is not None and owner.st_uid != 0:
        return ServerUser(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):  # initdb looks up the name of its user
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            wrapper = _user_namespace(found.pw_uid, found.pw_gid)
            return ServerUser(0, 0, wrapper) if wrapper else ServerUser(found.pw_uid, found.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as."
        " Start Satchel as an ordinary user."
    )


def _user_namespace(uid: int, gid: int) -> tuple[str, ...]:
    """The start of a command line that makes root look like this user; empty if forbidden.

    For the file system it stays root: it reaches every path, and files keep their owner. Many
    containers forbid it, and macOS has no such command.
    """
    if unshare := shutil.which("unshare"):
        wrapper = (unshare, "-U", f"--map-user={uid}", f"--map-group={gid}", "--")
        trial = subprocess.run([*wrapper, "true"], capture_output=True, check=False, timeout=30)
        return wrapper if trial.returncode == 0 else ()
    return ()
