"""Runs daemons, and ends all that they have started when its standard input closes.

Each line of the standard input is a log and a command, as JSON. What a daemon leaves behind becomes
a child of this process, which reaps it at once: Patroni starts its PostgreSQL in that way, and
takes a zombie for a server that runs. It needs the standard library of Debian's Python only.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PAUSE_SECONDS = 0.02


def serve(daemons: dict[int, subprocess.Popen[bytes]]) -> None:
    """Start daemons until the standard input closes; one that ends is reported."""
    rest = b""
    while True:
        reap(daemons)
        if not select.select([0], [], [], _PAUSE_SECONDS)[0]:
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            process = start(*json.loads(line))
            daemons[process.pid] = process


def start(log: str, command: list[str]) -> subprocess.Popen[bytes]:
    with Path(log).open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def reap(daemons: dict[int, subprocess.Popen[bytes]]) -> bool:
    """Whether there are children that have not ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            if pid in daemons:
                code = os.waitstatus_to_exitcode(status)
                sys.stderr.write(f"{daemons[pid].args!r} ended with {code}\n")
    return False


def end() -> None:
    """Kill all children, and those that they leave."""
    while reap({}):
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(") ")[2].split()[1]) == os.getpid():
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        serve({})
    finally:
        end()
