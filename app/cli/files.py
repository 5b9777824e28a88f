"""Writes files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp


class FileError(Exception):
    """A file cannot be written. What was there before is still there."""


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A file beside another, which it replaces when the block has succeeded.

    Only its owner can read it. Errors: FileError.
    """
    try:
        descriptor, name = mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}") from error
    part = Path(name)
    try:
        yield part
        try:
            os.fsync(descriptor)
            part.replace(file)
        except OSError as error:  # a full disk is noticed late
            raise FileError(f"{file}: {error.strerror}") from error
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)
