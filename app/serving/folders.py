"""Temporary folders that no killed process leaves for good."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.postgres.embedded.home import try_lock

_LOCK = "lock"  # the file in a folder that its process keeps locked


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder, in that of temporary files unless `parent` is another, until the block ends.

    Folders with that prefix whose process was killed are removed too; a process holds a lock in its
    folder, and so do those that it has forked. Errors: OSError.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (left / _LOCK).open("r+b") as file:
            if try_lock(file):
                shutil.rmtree(left, ignore_errors=True)
    path, lock = _locked_folder(prefix, parent)
    with lock:
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _locked_folder(prefix: str, parent: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = (path / _LOCK).open("wb")
        # Before it was locked, another process may have taken it for one that is left.
        if try_lock(lock) and path.exists():
            return path, lock
        lock.close()
