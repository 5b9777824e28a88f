"""Standard error: the lines of one turn of the event loop are written together, at its end."""

import asyncio
import atexit
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

# A pipe takes up to so many bytes in one piece. More could be mixed with those of another worker.
PIECE_SIZE = getattr(select, "PIPE_BUF", 512)


class Outlet:
    """Takes lines, and writes them in their order.

    Errors of standard error are ignored, since there is no place to report them.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # it will flush
        # Reentrant: a finalizer or a signal handler may log while this thread writes.
        self._lock = threading.RLock()
        # So that no other thread is writing meanwhile. Windows has no fork.
        getattr(os, "register_at_fork", dict)(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._start_again,
        )
        atexit.register(self.flush)

    def write(self, line: str) -> None:
        """Take a line; `flush` or `flush_soon` writes it."""
        self._lines.append(line)

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the event loop. Without one, flush at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines."""
        with self._lock:
            self._loop = None
            taken = self._lines[:]
            if not taken:
                return
            del self._lines[: len(taken)]  # other threads may have added lines meanwhile
            for piece in _pieces(taken):
                with suppress(OSError, ValueError, AttributeError):  # full, closed, not there
                    sys.stderr.write(piece)
                    sys.stderr.flush()

    def _start_again(self) -> None:
        """In a forked process: the lines are its parent's."""
        self._lines.clear()
        self._loop = None
        self._lock.release()


def _pieces(lines: list[str]) -> Iterator[str]:
    """The lines in pieces of at most `PIECE_SIZE` bytes, as long as no single line is longer."""
    text = "".join(lines)
    if len(text) <= PIECE_SIZE and text.isascii():
        yield text
        return
    start, size = 0, 0
    for index, line in enumerate(lines):
        length = len(line.encode(errors="backslashreplace"))
        if index and size + length > PIECE_SIZE:
            yield "".join(lines[start:index])
            start, size = index, 0
        size += length
    yield "".join(lines[start:])


OUTLET = Outlet()
