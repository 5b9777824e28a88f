"""Decides whom the server runs as: PostgreSQL refuses to run as root."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.postgres.embedded import child
from app.postgres.embedded.fault import EmbeddedError

with contextlib.suppress(ImportError):  # not on Windows, which is refused by name
    import pwd


@dataclass(frozen=True)
class ServerUser:
    """`drops`: become this user; `wrapper`: what to put before a command."""

    uid: int
    gid: int
    drops: bool = False
    wrapper: tuple[str, ...] = ()

    def command(self, *command: str | Path) -> list[str | Path]:
        """Runs a command as this user, for as long as the calling thread lives."""
        identity = (str(self.uid), str(self.gid)) if self.drops else ("", "")
        # -I -S: nothing of the caller's environment, and a start in 10 ms.
        python = (sys.executable, "-I", "-S", child.__file__, str(os.getpid()))
        return [*python, *identity, *self.wrapper, *command]

    def take(self, folder: Path) -> None:
        """Makes the user the owner of a directory of root's and of what is in it."""
        if self.drops and folder.stat().st_uid != self.uid:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def check_reach(self, folder: Path) -> None:
        """Errors: EmbeddedError when the user cannot enter a directory."""
        for step in (*reversed(folder.parents), folder) if self.drops else ():
            found = step.stat()
            shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
            if not found.st_mode >> shift & 1:
                raise EmbeddedError(
                    f"PostgreSQL does not run as root, and user {self.uid}, whom it runs as here,"
                    f" cannot enter {step}. Start Satchel as an ordinary user, or move"
                    f" {folder} (EMBEDDED_DATA_DIR and PG_BINDIR say what lies where)."
                )


def choose_user(data: Path) -> ServerUser:
    """The user for a data directory, which need not be there yet.

    Errors: EmbeddedError when the directory belongs to somebody else.
    """
    me, owner = os.geteuid(), data.stat() if data.exists() else None
    if me != 0:
        if owner is not None and owner.st_uid != me:
            raise EmbeddedError(
                f"{data} belongs to user {owner.st_uid}, but this is user {me}."
                " Start Satchel as its owner, or choose another EMBEDDED_DATA_DIR."
            )
        return ServerUser(me, os.getegid())
    if owner is not None and owner.st_uid != 0:
        return ServerUser(owner.st_uid, owner.st_gid, drops=True)
    account = _unprivileged_account()
    if wrapper := _user_namespace(account.pw_uid, account.pw_gid):
        return ServerUser(0, 0, wrapper=wrapper)
    return ServerUser(account.pw_uid, account.pw_gid, drops=True)


def _unprivileged_account() -> "pwd.struct_passwd":
    """An account that is there, because initdb looks up the name of its user."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as."
        " Start Satchel as an ordinary user."
    )


def _user_namespace(uid: int, gid: int) -> tuple[str, ...]:
    """What to put before a command so that it takes root for this user; empty if forbidden.

    In a user namespace the process is root to the file system, and PostgreSQL does not know: data
    and programs may lie where only root can go, and no file changes hands. Containers often forbid
    it, hence the try; macOS has none.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    wrapper = (unshare, "-U", f"--map-user={uid}", f"--map-group={gid}", "--")
    trial = subprocess.run([*wrapper, "true"], capture_output=True, check=False, timeout=30)
    return wrapper if trial.returncode == 0 else ()
