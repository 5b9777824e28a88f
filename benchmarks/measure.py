"""What processes cost: CPU and memory from /proc, of a process and all that descends from it."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

_PROC = Path("/proc")


def can_measure() -> bool:
    return (_PROC / "self" / "schedstat").exists()


def parent_of(pid: int) -> int:
    # The name of the program stands before, in brackets, and may hold anything.
    stat = (_PROC / str(pid) / "stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def trees(*roots: int) -> list[list[int]]:
    """The processes under each root, the root among them."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                children[parent_of(int(entry.name))].append(int(entry.name))
    return [list(_descend(root, children)) for root in roots]


def _descend(root: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield root
    for child in children.get(root, ()):
        yield from _descend(child, children)


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """What the threads of each of these processes have run so far, user and system, to the
    microsecond.

    The usual utime and stime come in hundredths of a second: too coarse for ten backends of
    PostgreSQL that each did a tenth of the work.
    """
    seconds = dict.fromkeys(pids, 0.0)
    for pid in seconds:
        with contextlib.suppress(OSError):
            for thread in (_PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    nanoseconds = int((thread / "schedstat").read_text().split()[0])
                    seconds[pid] += nanoseconds / 1e9
    return seconds


def cpu_between(first: dict[int, float], last: dict[int, float]) -> float:
    """The seconds from `first` to `last`, without those of processes that ended meanwhile.

    Autovacuum's workers come and go; a difference of sums would take away all that one ever ran.
    """
    return sum(seconds - min(first.get(pid, 0.0), seconds) for pid, seconds in last.items())


def memory_mb(pids: Iterable[int]) -> float:
    """Resident memory; what processes share is counted once (PSS)."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def settle(*roots: int, seconds: float = 5) -> None:
    """Wait until these trees are at rest: requests cut off by the end of a load are still run."""
    deadline = time.monotonic() + seconds
    before = cpu_seconds(chain(*trees(*roots)))
    while time.monotonic() < deadline:
        time.sleep(0.05)
        now = cpu_seconds(chain(*trees(*roots)))
        if cpu_between(before, now) < 0.005:
            return
        before = now


class Growth:
    """How much more resident memory some processes had at most than when this was made."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._before = sum(_status_mb(pid, "VmRSS") for pid in self._pids)
        self.megabytes = 0.0
        for pid in self._pids:
            (_PROC / str(pid) / "clear_refs").write_text("5")  # forgets the peak

    def look(self) -> None:
        """Counts what was since the last look."""
        peak = sum(_status_mb(pid, "VmHWM") for pid in self._pids)
        self.megabytes = max(self.megabytes, peak - self._before)


def _status_mb(pid: int, name: str) -> float:
    status = (_PROC / str(pid) / "status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
