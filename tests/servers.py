"""Servers of tests: processes, the ports that they listen on and their environment."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
from sqlalchemy import URL

from tests.databases import serving_settings
from tests.waiting import PATIENCE, wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`satchel serve`, or another `command` of Python, as a process (and a group) of its own."""

    def __init__(
        self,
        environment: dict[str, str],
        *options: str,
        cwd: Path,
        command: Sequence[str] = ("-m", "app.cli.commands", "serve"),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = cwd / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "--port", str(self.port), *options],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
                cwd=cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        self.wait_until_answers("/readyz")

    def wait_until_answers(self, path: str) -> None:
        """Return once it answers 200."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}{path}").status_code == 200
            return False

        wait_until(answers, f"the server does not answer, see {self.log}")

    def stop(self, signum: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """End the process and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def server_environment(database: URL) -> dict[str, str]:
    return {
        "CONFIG_MODE": "testing",
        **{name.upper(): value for name, value in serving_settings(database).items()},
        "ALLOWED_HOSTS": "satchel.test,x",  # of raw requests
    }
