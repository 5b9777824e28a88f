"""Packages of metadata alone, and indexes of them in folders."""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PIN = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^\s;]+)(?P<marker> ; [^\\\n]+)?", re.MULTILINE
)


@dataclass(frozen=True)
class Pin:
    """What a lock says of a package, and who in the lock requires it."""

    name: str
    version: str
    marker: str
    required_by: Sequence[str]


def pins_of(lock: str) -> list[Pin]:
    pins = []
    for block in re.split(r"\n(?=[a-z])", lock):
        if found := PIN.match(block):
            via = re.findall(r"^    #(?: via|  ) ([a-z0-9.-]+)$", block, re.MULTILINE)
            pins.append(Pin(found["name"], found["version"], found["marker"] or "", via))
    return pins


def make_wheel(folder: Path, name: str, version: str, requires: Iterable[str] = ()) -> Path:
    """A wheel that holds nothing. It has any extra that somebody may ask for."""
    stem = f"{re.sub('[-.]+', '_', name)}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in [*files, record])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def make_index(folder: Path, *wheels: Path) -> str:
    """The URL of an index of these wheels, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        project = folder / wheel.name.split("-")[0].replace("_", "-")
        project.mkdir(exist_ok=True)
        with (project / "index.html").open("a") as page:
            page.write(f'<a href="{wheel.as_uri()}#sha256={sha256(wheel)}">{wheel.name}</a>\n')
    return folder.as_uri()


def sha256(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def lock_line(wheel: Path, marker: str = "") -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')}=={version}{marker} --hash=sha256:{sha256(wheel)}\n"
