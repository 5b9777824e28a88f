"""Starts, shares and stops the embedded PostgreSQL of a home directory."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import structlog

from app.postgres.embedded import child
from app.postgres.embedded.binaries import find_binaries, major_version
from app.postgres.embedded.home import PORT, EmbeddedError, Home, try_lock, unlock
from app.postgres.embedded.privileges import ServerUser, choose_user

log = structlog.get_logger("satchel.embedded")

WAIT_SECONDS = 60.0  # recovery after a crash takes longest
SHUTDOWN_SECONDS = 30.0
_PROC = Path("/proc")


@contextlib.contextmanager
def embedded_postgres(
    home: Path, *, bindir: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The URL of a PostgreSQL with its data in `home`, running while the block runs.

    `settings` are PostgreSQL's own. By default commits survive a power failure, and there is no
    TCP port. The first process on a home owns the server; others use it until the owner leaves its
    block. If the server ends before the block does, a warning is logged. Errors: EmbeddedError.
    """
    if sys.platform not in {"linux", "darwin"}:
        raise EmbeddedError(
            f"The embedded PostgreSQL runs on Linux and macOS, not on {sys.platform}. Set"
            " DEVELOPMENT_DATABASE_URL (or that of your CONFIG_MODE) to a running database."
        )
    programs, place = find_binaries(bindir), Home(home)
    with contextlib.ExitStack() as stack:
        try:
            place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context(place.open("owner.lock"))
            _wait_until(
                lambda: try_lock(lock) or place.ready_pid() is not None,
                place,
                f"Another process owns {place.path}, but its server does not get ready",
            )
            if try_lock(lock):
                # Linux ends the server with the thread that starts it. This one lasts as long as
                # the block, whichever threads enter and leave that.
                thread = stack.enter_context(ThreadPoolExecutor(1))
                server = _start(place, programs, settings or {}, thread)
                if not place.socket.is_relative_to(place.path):
                    stack.callback(_remove_socket_dir, place.socket)
                stack.callback(_stop, server)
            server_lock = place.open("server.lock")
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(
                f"The embedded PostgreSQL cannot work in {place.path}: {error}."
                " Correct that, or choose another EMBEDDED_DATA_DIR."
            ) from error
        left = threading.Event()
        stack.callback(left.set)
        # A daemon, because it sleeps until the server ends, which may be after this process.
        threading.Thread(target=_report_end, args=(server_lock, left), daemon=True).start()
        yield place.url


def _report_end(server_lock: BinaryIO, left: threading.Event) -> None:
    with server_lock:
        try_lock(server_lock, wait=True)
        # Closing would not do so: processes that this one has forked have the file open too.
        unlock(server_lock)
    if not left.is_set():
        detail = "Its owner has left, or it crashed. Restart this process to have it again."
        log.warning("embedded_postgresql_ended", detail=detail)


def _start(
    home: Home, bindir: Path, settings: Mapping[str, str], thread: ThreadPoolExecutor
) -> subprocess.Popen[bytes]:
    """A server that accepts queries. The caller holds owner.lock."""
    user = choose_user(home.data)
    # Neither the caller's locale counts, nor what its shell sets for psql.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
    # -I -S: nothing of the caller's environment, and a start in 10 ms.
    python = (sys.executable, "-I", "-S", child.__file__, str(os.getpid()))

    def run(status: int | None, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Run a program until it ends or serves. Errors: EmbeddedError for another status."""
        process = thread.submit(
            subprocess.Popen[bytes],
            (*python, f"{user.uid}", f"{user.gid}", *user.wrapper, bindir / program, *arguments),
            cwd="/",
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[lock.fileno()],  # its processes hold the lock until the last one ends
            start_new_session=True,  # Ctrl-C goes to us alone
        ).result()
        try:
            _wait_until(
                lambda: process.poll() is not None or home.ready_pid() == process.pid,
                home,
                f"{program} does not get ready",
            )
            if process.returncode != status:
                raise home.failure(
                    f"{program} failed. User {user.uid} must be able to enter {home.path} and"
                    f" {bindir}; EMBEDDED_DATA_DIR and PG_BINDIR set others."
                )
        except BaseException:
            _stop(process)
            raise
        return process

    with home.open("server.lock") as lock, home.open(home.log.name) as output:
        _wait_until(lambda: _has_ended(home, lock), home, "The last server does not stop")
        if user.uid not in {os.geteuid(), home.path.stat().st_uid}:
            home.path.chmod(home.path.stat().st_mode | 0o011)  # to pass through, not to list
        _prepare_data(home, bindir, user, run)
        if (pid := home.listening_pid()) is not None:
            raise _already_served(pid, home.data)
        _remove_stale_pid(home.data)
        _make_socket_dir(home.socket, user)
        ours = {"unix_socket_directories": f'"{home.socket.parent}"', "port": str(PORT)}
        options = {"listen_addresses": "", **settings, **ours, "unix_socket_permissions": "0700"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return run(None, "postgres", "-D", home.data, *words)


def _has_ended(home: Home, lock: BinaryIO) -> bool:
    """Whether no process of the last server is left. Its owner has ended: we hold owner.lock."""
    ended = try_lock(lock)
    if not ended and (pid := home.listening_pid()):  # macOS does not end it with its owner
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return ended


def _prepare_data(home: Home, bindir: Path, user: ServerUser, run: Callable[..., object]) -> None:
    """Make the data directory, under another name until it is complete, or check what is there."""
    major, version = major_version(bindir), home.data / "PG_VERSION"
    if not version.exists():
        if home.data.exists() and any(home.data.iterdir()):
            raise EmbeddedError(
                f"{home.data} is not empty, and PostgreSQL did not make it."
                " Move it away, or choose another EMBEDDED_DATA_DIR."
            )
        new = home.path / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        user.own(new)
        # Text sorts by code point; from version 17 on, lower() and upper() know all of Unicode.
        unicode = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if major >= 17 else ()
        # The private socket needs no password; TCP does, if a setting opens it.
        access = ("--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        run(0, "initdb", "-D", new, "--encoding=UTF8", "--locale=C", *unicode, *access)
        new.rename(home.data)
        folder = os.open(home.path, os.O_RDONLY)
        os.fsync(folder)  # else a power failure could undo the rename
        os.close(folder)
    user.own(home.data)
    if (found := version.read_text(errors="replace").strip()) != str(major):
        raise EmbeddedError(
            f"{home.data} was made by PostgreSQL {found}, but {bindir} is PostgreSQL {major}."
            f" Set PG_BINDIR to the programs of version {found}; or dump the data with those and"
            " restore it here; or choose another EMBEDDED_DATA_DIR."
        )


def _remove_stale_pid(data: Path) -> None:
    """Remove the pid file of a server that has ended. Errors: EmbeddedError if it serves the data.

    PostgreSQL does not start while any process has that number, as one may after a crash, above all
    in a restarted container. Without /proc the file is left to PostgreSQL's own judgement.
    """
    file, serves = data / "postmaster.pid", False
    if not (_PROC.exists() and file.exists()):
        return
    # A server in single-user mode writes a minus sign; a power failure leaves NUL bytes.
    number = re.match(rb"-?(\d+)", file.read_bytes())
    process = _PROC / (number[1].decode() if number else "none")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        try:
            serves = (process / "cwd").readlink() == data.resolve()
        except PermissionError:  # root without CAP_SYS_PTRACE, as in containers
            serves = os.fsencode(data) in (process / "cmdline").read_bytes()
    if serves:
        raise _already_served(process.name, data)
    file.unlink()


def _already_served(pid: int | str, data: Path) -> EmbeddedError:
    return EmbeddedError(f"Process {pid} already serves {data}. Stop it and try again.")


def _make_socket_dir(socket: Path, user: ServerUser) -> None:
    """Always a new one, since who can enter it is the database's superuser."""
    _remove_socket_dir(socket)
    socket.parent.mkdir(mode=0o700)
    user.own(socket.parent)


def _remove_socket_dir(socket: Path) -> None:
    for stale in socket.parent.glob(f"{socket.name}*"):  # the socket and its lock file
        stale.unlink()
    with contextlib.suppress(FileNotFoundError):
        socket.parent.rmdir()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, and kill a process that takes too long over it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(condition: Callable[[], bool], home: Home, problem: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise home.failure(f"{problem} (waited {WAIT_SECONDS:.0f} s).")
        time.sleep(0.02)
