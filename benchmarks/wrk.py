"""The load: wrk with load.lua, ended when the harness says so."""

import itertools
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LUA = Path(__file__).parent / "load.lua"
# Makes the bodies of every load new; the harness's own checks do without.
_runs = itertools.count(1)
_LONGEST = 120
_ATTEMPTS = 60


@dataclass(frozen=True)
class Load:
    """What wrk saw. `refused`: answers from 400 on; `broken`: connections that failed."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "ready\n":
                return
        raise RuntimeError("wrk does not start")

    def finish(self) -> Load:
        """End the load; wrk counts until here."""
        for _ in range(_ATTEMPTS):
            self._process.send_signal(signal.SIGINT)
            try:
                output, _ = self._process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                continue  # the signal came before wrk began to sleep, which only a signal ends
            return Load(**json.loads(output.splitlines()[-1]))
        raise RuntimeError("wrk does not end")


def find_wrk() -> str | None:
    return shutil.which("wrk")


@contextmanager
def load(port: int, operation: str, connections: int, targets: Path) -> Iterator[Running]:
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{_LONGEST}s", "--timeout", "30s", "--script", str(_LUA)]
    command += [f"http://127.0.0.1:{port}", "--", str(targets), operation, str(next(_runs))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
