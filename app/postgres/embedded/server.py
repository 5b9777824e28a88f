"""Starts a PostgreSQL server on a home."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from app.postgres.embedded.cluster import forget_stale_pid, forget_stale_socket, prepare_cluster
from app.postgres.embedded.fault import EmbeddedError
from app.postgres.embedded.home import PORT, Home, try_lock
from app.postgres.embedded.launch import Launch, wait_until
from app.postgres.embedded.privileges import choose_user


def start_server(
    home: Home, bindir: Path, settings: Mapping[str, str], leaving: threading.Event
) -> subprocess.Popen[bytes]:
    """A server that takes queries. The caller holds the home's owner.lock.

    Errors: EmbeddedError, OSError; Leaving.
    """
    user = choose_user(home.data)
    with home.open("server.lock") as lock, home.open(home.log.name) as log:
        launch = Launch(home, bindir, settings, leaving, user, lock, log, log.tell())
        wait_until(
            lambda: _predecessor_is_gone(home, lock),
            leaving,
            lambda: launch.fault(f"An earlier server on {home.data} does not leave."),
        )
        if user.drops and home.path.stat().st_uid != user.uid:
            home.path.chmod(home.path.stat().st_mode | 0o011)  # to go through, not to look
        user.check_reach(bindir)
        user.check_reach(home.path)
        prepare_cluster(launch)
        forget_stale_pid(home.data)
        home.socket_dir.mkdir(mode=0o700, exist_ok=True)
        home.check_socket_dir()
        forget_stale_socket(home)
        user.take(home.socket_dir)
        return _start_postgres(launch)


def _start_postgres(launch: Launch) -> subprocess.Popen[bytes]:
    home = launch.home
    settings = {
        "listen_addresses": "",
        **launch.settings,
        "unix_socket_directories": f'"{home.socket_dir}"',
        "unix_socket_permissions": "0700",
        "port": str(PORT),
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with launch.running(launch.bindir / "postgres", "-D", home.data, *options) as process:
        wait_until(
            lambda: process.poll() is not None or home.ready_pid() == process.pid,
            launch.leaving,
            lambda: launch.fault(f"PostgreSQL on {home.data} does not get ready."),
        )
        if process.returncode is not None:
            raise EmbeddedError(launch.fault(f"PostgreSQL did not start on {home.data}."))
    return process


def _predecessor_is_gone(home: Home, lock: BinaryIO) -> bool:
    """Its owner is dead, or owner.lock were not ours: it is leaving, or on macOS must be told."""
    if try_lock(lock):
        return True
    if pid := home.listening_pid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return False
