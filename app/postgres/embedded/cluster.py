"""Makes the data directory whole and fit for a start: made, ours, of the right version."""

import contextlib
import os
import re
import shutil
from pathlib import Path

from app.postgres.embedded.binaries import major_version
from app.postgres.embedded.fault import EmbeddedError
from app.postgres.embedded.home import Home
from app.postgres.embedded.launch import Launch, wait_until

_PROC = Path("/proc")


def prepare_cluster(launch: Launch) -> None:
    data, major = launch.home.data, major_version(launch.bindir)
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        if data.exists() and any(data.iterdir()):
            raise EmbeddedError(
                f"{data} is not empty and not of PostgreSQL."
                " Move it away, or choose another EMBEDDED_DATA_DIR."
            )
        _make_cluster(launch, major)
    launch.user.take(data)
    if (found := version_file.read_text(errors="replace").strip()) != str(major):
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {found}, but {launch.bindir} is PostgreSQL {major}."
            f" Set PG_BINDIR to the programs of version {found}; or dump the data with those and"
            " restore it here; or choose another EMBEDDED_DATA_DIR."
        )


def forget_stale_pid(data: Path) -> None:
    """Removes a pid file whose server is no more.

    PostgreSQL refuses to start while the process named there lives, and after a crash, above all in
    a restarted container, that number may be anybody's, or a zombie's that nobody reaps. Servers of
    ours are gone, since server.lock is ours. One that was started by hand is left to PostgreSQL's
    own judgement, and so is every one where there is no /proc.
    """
    pid_file = data / "postmaster.pid"
    if not (pid_file.exists() and _PROC.exists()):
        return
    # A server in single-user mode notes its number with a minus; a power failure leaves NULs.
    number = re.match(rb"-?(\d+)", pid_file.read_bytes())
    if number is None or not _serves(_PROC / number[1].decode(), data):
        pid_file.unlink()


def forget_stale_socket(home: Home) -> None:
    """Removes a socket on which nobody listens, with its lock file, which names a pid likewise."""
    if home.listening_pid() is None:
        home.socket_path.unlink(missing_ok=True)
        home.socket_path.with_name(f"{home.socket_path.name}.lock").unlink(missing_ok=True)


def _serves(process: Path, data: Path) -> bool:
    """Whether a process, if it is there and no zombie, is a server on this data directory."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        try:
            return (process / "cwd").readlink() == data.resolve()
        except PermissionError:  # another user's, to root without CAP_SYS_PTRACE, as in containers
            return os.fsencode(data) in (process / "cmdline").read_bytes()
    return False


def _make_cluster(launch: Launch, major: int) -> None:
    """Makes it under another name first, so that a half-made one is never taken for whole."""
    home, new = launch.home, launch.home.path / "new"
    durable = launch.settings.get("fsync") != "off"
    # Text sorts by code point everywhere, whatever the system's locales.
    locale = ["--locale=C"]
    if major >= 17:  # where lower() and upper() then know all of Unicode
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # Who comes through the private socket needs no password; who comes by TCP does.
    access = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]
    sync = [] if durable else ["--no-sync"]
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    launch.user.take(new)
    options = ["--encoding=UTF8", *locale, *access, *sync]
    with launch.running(launch.bindir / "initdb", "-D", new, *options) as process:
        wait_until(
            lambda: process.poll() is not None, launch.leaving, lambda: launch.fault("initdb hangs")
        )
    if process.returncode != 0:
        raise EmbeddedError(launch.fault(f"initdb could not make a database in {home.path}."))
    new.rename(home.data)
    if durable:
        # Else a power failure could undo the rename, and the next start would throw `new` away.
        folder = os.open(home.path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
