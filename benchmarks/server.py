"""A contestant's server as processes of its own: started, waited for, stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.client import Client
from benchmarks.contestants.registry import Contestant, Start
from benchmarks.postgres import Postgres

ROOT = Path(__file__).parent.parent
# Nothing else of the caller's environment reaches a contestant: no settings, no tracing.
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV")

# All start at once, and Directus makes tables of its own first.
_START_SECONDS = 180


class ServerError(Exception):
    """The message holds the end of the server's log."""


class Server:
    """A process that was started, with all that it starts itself."""

    def __init__(
        self, contestant: Contestant, process: subprocess.Popen[bytes], port: int, folder: Path
    ) -> None:
        self.contestant = contestant
        self.pid = process.pid
        self.port = port
        self.client = Client(port, headers_of(contestant, folder))
        self._process = process
        self.log = folder / f"{contestant.name}.log"

    def wait_until_ready(self) -> None:
        """Errors: ServerError."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.client.send("GET", "/")
                return
            time.sleep(0.05)
        raise ServerError(f"does not start:\n{self.log.read_text()[-2000:]}")

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        """Waits, then kills; the group holds all that the process started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def headers_of(contestant: Contestant, folder: Path) -> dict[str, str]:
    """What every request to this contestant carries."""
    if contestant.token:
        return {"Authorization": f"Bearer {contestant.token}"}
    if not contestant.promises:
        return {}
    key = (folder / f"{contestant.name}.key").read_text().strip()
    return {"Authorization": f"Bearer {key}"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def base_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "NODE_ENV": "production"}


@contextmanager
def running_servers(
    contestants: Iterable[Contestant], postgres: Postgres, workers: int, folder: Path
) -> Iterator[list[Server]]:
    """Starts all at once; whether they get ready is for the caller to ask."""
    servers: list[Server] = []
    try:
        for contestant in contestants:
            start = Start(postgres, free_port(), workers)
            log = folder / f"{contestant.name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    contestant.command(start),
                    env={**base_environment(), **contestant.environment(start)},
                    cwd=folder,  # where no .env lies
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            servers.append(Server(contestant, process, start.port, folder))
        yield servers
    finally:
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.stop()
