"""Ends what a run of the tests leaves behind when it is killed: servers, browsers, whatever.

The guard is a process of its own that waits for the end of the run, of which a pipe tells it. It
knows all that the run has started by a variable in their environment, and what those have started
by its parents. PostgreSQL hides its environment, but follows who started it by itself. Where there
is no /proc it does nothing.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PROC = Path("/proc")


def start_guard() -> None:
    """From now on what this process starts does not outlive it."""
    name = f"SATCHEL_TESTS_{os.getpid()}"
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, name],
        stdin=subprocess.PIPE,
        env={},
        cwd="/",
        start_new_session=True,
    )
    os.environ[name] = "1"

    def leave() -> None:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()

    atexit.register(leave)


def descendants(of: set[int]) -> set[int]:
    """These processes and all that they have started, but for those whose parent has ended."""
    parents: dict[int, int] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(") ")[2].split()[1])
    found, new = set(of), set(of)
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _marked(name: str) -> set[int]:
    found = set()
    for file in _PROC.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"\0{name}=".encode() in b"\0" + file.read_bytes():
                found.add(int(file.parent.name))
    return found


def _end_all(name: str) -> None:
    while marked := _marked(name):
        for pid in descendants(marked):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _end_all(sys.argv[1])
