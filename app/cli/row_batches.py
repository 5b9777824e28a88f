"""The rows of a file in batches, which several processes check while others are written."""

import codecs
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from app.accounts.service import ACCOUNT_IMPORT
from app.api.imports.records import Form, Source, lines_of, read_rows, unzipped
from app.api.imports.rows import RowChecker, columns_of, required_of
from app.errors import Fault, MalformedBody
from app.items.service import ITEM_IMPORT
from app.resources.imports import Importable

IMPORTABLE: Final[dict[str, Importable[Any]]] = {"accounts": ACCOUNT_IMPORT, "items": ITEM_IMPORT}
_PIECE: Final = 2**20
_PART: Final = 500
_GZIP_MAGIC: Final = b"\x1f\x8b"
_JSON_SUFFIXES: Final = frozenset({".ndjson", ".jsonl"})
_MAX_BATCH: Final = 2**24  # characters, so that memory does not depend on the length of rows


@dataclass(slots=True)
class Batch:
    """Rows that are written in one transaction; `first` is the number of the first of them.

    They are kept as bytes, a part at a time: as objects they would take five times the memory.
    """

    first: int
    size: int = 0
    _parts: list[bytes] = field(default_factory=list)

    def add(self, sources: Sequence[Source]) -> None:
        self.size += len(sources)
        self._parts.append(pickle.dumps(sources))

    def rows(self) -> Iterator[tuple[int, Source]]:
        """Their numbers and sources."""
        sources = chain.from_iterable(map(pickle.loads, self._parts))
        return enumerate(sources, self.first)


@dataclass(frozen=True, slots=True)
class Checked:
    """The good rows of a batch as staged lines, and the faults of the bad ones."""

    lines: bytes
    faults: list[Fault]


def open_rows(
    stack: ExitStack, file: Path, importable: Importable[Any], *, is_spreadsheet: bool
) -> tuple[Form, Iterator[Source]]:
    """The form and the rows of a file. Errors: MalformedBody, InvalidRequest."""
    start, pieces = _peek(_pieces(stack, file))
    if start.startswith(_GZIP_MAGIC):
        start, pieces = _peek(unzipped(pieces))
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    # Of the two, only NDJSON may be empty.
    is_json = text.startswith(b"{") or not (text or ".csv" in file.suffixes)
    is_json = is_json or not _JSON_SUFFIXES.isdisjoint(file.suffixes)
    form = Form("ndjson" if is_json else "csv", is_spreadsheet)
    return read_rows(lines_of(pieces), form, columns_of(importable), required_of(importable))


def _pieces(stack: ExitStack, file: Path) -> Iterator[bytes]:
    try:
        opened: Any = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        yield from iter(partial(opened.read1, _PIECE), b"")
    except OSError as error:
        raise MalformedBody(f"{file}: {error.strerror}.") from error


def _peek(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The start, which tells what a file is, and all pieces. A pipe may give a byte at a time."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start.lstrip()) > len(codecs.BOM_UTF8) or len(start) > _PIECE:
            break
    return start, chain((start,), pieces)


def batches_of(rows: Iterator[Source], size: int, from_row: int) -> Iterator[Batch]:
    batch = Batch(from_row)
    part: list[Source] = []
    length = 0
    for source in islice(rows, from_row - 1, None):
        part.append(source)
        length += len(source) if isinstance(source, str) else len(source) + sum(map(len, source))
        is_full = batch.size + len(part) == size or length > _MAX_BATCH
        if is_full or len(part) == _PART:
            batch.add(part)
            part = []
        if is_full:
            yield batch
            batch, length = Batch(batch.first + batch.size), 0
    if part:
        batch.add(part)
    if batch.size:
        yield batch


# Each process that checks rows makes its own.
@cache
def _checker(resource: str, form: Form, keeps_ids: bool) -> RowChecker:
    return RowChecker(IMPORTABLE[resource], form, keeps_ids=keeps_ids)


def _check(batch: Batch, *checker: Any) -> Checked:
    """By one process, so that new ids are in the order of the rows."""
    check = _checker(*checker).check
    lines, faults = [], []
    for number, source in batch.rows():
        checked = check(number, source)
        if isinstance(checked, bytes):
            lines.append(checked)
        else:
            faults += checked
    return Checked(b"".join(lines), faults)


def start_checkers(batches: int) -> Executor:
    """Processes for a file of more than one batch; their start takes longer than a small file."""
    if batches < 2:
        return ThreadPoolExecutor(1)
    # Collections would change memory that the processes share.
    gc.collect()
    gc.freeze()
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(os.cpu_count(), context, initializer=_start_worker)
    pool.submit(os.getpid)  # forks them
    return pool


def _start_worker() -> None:
    # Ctrl-C reaches all processes of a terminal. The first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End where the parent was killed: a process that waits for work would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def check_ahead(
    pool: Executor, batches: Iterator[Batch], *checker: Any
) -> Iterator[tuple[Batch, Checked]]:
    """Checked batches in order. Each process checks one while the database writes another."""
    waiting: deque[tuple[Batch, Future[Checked]]] = deque()
    for batch in batches:
        waiting.append((batch, pool.submit(_check, batch, *checker)))
        if len(waiting) > (os.cpu_count() or 1):
            done, checked = waiting.popleft()
            yield done, checked.result()
    for done, checked in waiting:
        yield done, checked.result()
