"""The versions of Python that Satchel is tested on."""

import re
import tomllib
from pathlib import Path


def supported_pythons() -> list[tuple[int, int]]:
    """Those that pyproject.toml names."""
    path = Path(__file__).parent.parent / "pyproject.toml"
    classifiers = "\n".join(tomllib.loads(path.read_text())["project"]["classifiers"])
    versions = re.findall(r"Python :: (\d+)\.(\d+)", classifiers)
    return [(int(major), int(minor)) for major, minor in versions]


def note_on_python(version: tuple[int, int]) -> str | None:
    """A line where the tests run on a Python that is none of those."""
    supported = supported_pythons()
    if version in supported:
        return None
    names = ", ".join(f"{major}.{minor}" for major, minor in supported)
    return f"Satchel is tested on Python {names}; this is {version[0]}.{version[1]}"
