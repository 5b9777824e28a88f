"""What Satchel takes before any request: memory, CPU of imports, time until it answers."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import measure, wrk
from benchmarks.contestants.registry import SATCHEL
from benchmarks.findings import Finding
from benchmarks.harness import targets_path
from benchmarks.marks import OPERATIONS
from benchmarks.postgres import Postgres
from benchmarks.server import base_environment, running_servers

_WORKERS = (1, 2, 4)
_LOADED_SECONDS = 0.5
_STARTS = 3
_IMPORTS = 7
_OURS = "app.main"
# What it is made of, without which nobody could write it.
_THEIRS = "fastapi, sqlalchemy, asyncpg, pydantic"


def measure_memory(postgres: Postgres, folder: Path) -> Iterator[Finding]:
    """PSS after some load: of all processes together, what they share counted once.

    No other server runs: what it shared with Satchel would count for less.
    """
    for workers in _WORKERS:
        with running_servers([SATCHEL], postgres, workers, folder) as (server,):
            server.wait_until_ready()
            for operation in OPERATIONS:
                targets = targets_path(folder, SATCHEL)
                with wrk.load(server.port, operation, 32, targets) as load:
                    load.wait_until_ready()
                    time.sleep(_LOADED_SECONDS)
                    load.finish()
            reached = measure.memory_mb(measure.trees(server.pid)[0])
        title = f"PSS of {workers} worker(s) and their parent: MB"
        yield Finding(title, reached, 70 + 30 * workers, at_most=True)


def measure_imports() -> Iterator[Finding]:
    """The least of several, by turns: whatever else the machine does only adds to it."""
    seconds: dict[str, list[float]] = {_OURS: [], _THEIRS: []}
    for _ in range(_IMPORTS):
        for modules, found in seconds.items():
            found.append(_cpu_of_import(modules))
    ratio = min(seconds[_OURS]) / min(seconds[_THEIRS])
    yield Finding(f"CPU: import {_OURS} / import {_THEIRS}", ratio, 1.6, at_most=True)


def _cpu_of_import(modules: str) -> float:
    program = (
        "import time; before = time.process_time(); "
        f"import {modules}; print(time.process_time() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=base_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def measure_start(postgres: Postgres, folder: Path) -> Iterator[Finding]:
    """How long a start takes whose files the system has in memory."""
    seconds = []
    for _ in range(_STARTS):
        began = time.monotonic()
        with running_servers([SATCHEL], postgres, 1, folder) as (server,):
            server.wait_until_ready()
            seconds.append(time.monotonic() - began)
    yield Finding("satchel serve answers after: seconds", median(seconds), 1.5, at_most=True)
