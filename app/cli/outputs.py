"""Files that commands write: each is there only when it is whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Final

import typer

STANDARD_OUTPUT: Final = "-"


class FileError(Exception):
    """A file cannot be written. The message says which and why."""


@contextmanager
def whole_file(name: str) -> Iterator[IO[bytes]]:
    """What is written in the block takes the place of the file `name` when the block has ended, and
    is removed if it fails. `-` is standard output.

    Only the owner can read a new file, since it may hold personal data. Errors: FileError.
    """
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    path = Path(name).resolve()
    if path.exists() and not path.is_file():
        raise FileError(f"{name} is not a file. Name another, or - for standard output.")
    with _naming(name):
        number, unfinished = mkstemp(dir=path.parent, prefix=".satchel-")
    try:
        file = os.fdopen(number, "wb")
        try:
            yield file
            with _naming(name):
                os.fsync(number)
        finally:
            with suppress(OSError):  # that it cannot be written is known by now
                file.close()
        with _naming(name):
            Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink()
        raise


def write_to(file: IO[bytes], name: str, data: bytes) -> None:
    """Write to a file of `whole_file`. Errors: FileError; Exit if nobody reads standard output."""
    try:
        with _naming(name):
            file.write(data)
            file.flush()
    except FileError as error:
        if name == STANDARD_OUTPUT:
            # Else Python fails at its end, when it flushes what is left.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error.__cause__, BrokenPipeError):  # the reader has enough
                raise typer.Exit(1) from None
        raise


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        shown = "Standard output" if name == STANDARD_OUTPUT else name
        raise FileError(f"{shown}: {error.strerror}.") from error
