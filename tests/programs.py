"""Programs that are not Python's."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def find_program(name: str, package: str) -> str:
    """The path of a program that is not Python's; the test is skipped without it."""
    # Debian has programs of servers in a folder that is not on the PATH of everybody.
    return find_package(shutil.which(name) or shutil.which(name, path="/usr/sbin"), name, package)


def find_file(path: str, package: str) -> Path:
    """The path of a file that a package of Debian installs; the test is skipped without it."""
    return Path(find_package(path if Path(path).exists() else None, path, package))


def find_package(path: str | None, name: str, package: str) -> str:
    """Skip the test if there is no path."""
    if path is None:
        leave_out(f"{name} is missing: install the package {package}")
    return path


def leave_out(reason: str) -> NoReturn:
    """Skip the test. With REQUIRE_ALL=1 nothing is skipped."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
