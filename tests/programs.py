"""Programs that are not Python's."""

import os
import shutil

import pytest


def find_program(name: str, package: str) -> str:
    """The path of a program that is not Python's; the test is skipped without it.

    With REQUIRE_ALL=1 nothing is skipped.
    """
    path = shutil.which(name)
    if path is None:
        message = f"{name} is missing: install the package {package}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path
