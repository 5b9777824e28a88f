"""Who takes part: whoever cannot be installed is left out, with what stands in the way."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import prepare
from benchmarks.contestants.registry import CONTESTANTS
from benchmarks.prepare import choose_contestants

LOCK = {"packages": {"": {}, "node_modules/peer": {"version": "1.0.0"}}}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the one contestant there is, and beside it the only programs."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "package.json").write_text(json.dumps({"engines": {"node": ">=20.12"}}))
    (packages / "package-lock.json").write_text(json.dumps(LOCK))
    node = next(one for one in CONTESTANTS if one.packages)
    contestant = dataclasses.replace(node, name="peer", packages=packages)
    monkeypatch.setattr(prepare, "CONTESTANTS", (contestant,))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path / "node", "echo v20.12.1")
    return packages


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def left_out() -> str | None:
    chosen, reasons = choose_contestants([])
    assert [one.name for one in chosen] + list(reasons) == ["peer"]
    return reasons.get("peer")


def install(packages: Path, lock: object) -> None:
    (packages / "node_modules").mkdir()
    (packages / "node_modules/.package-lock.json").write_text(json.dumps(lock))


def test_what_its_lock_names_is_installed_once(packages: Path) -> None:
    program(packages.parent / "npm", f"echo once >> '{packages}/ran'")
    assert left_out() is None
    assert (packages / "ran").read_text() == "once\n"
    install(packages, LOCK)
    assert left_out() is None
    assert (packages / "ran").read_text() == "once\n"


def test_other_versions_than_those_of_the_lock_are_replaced(packages: Path) -> None:
    program(packages.parent / "npm", f"touch '{packages}/ran'")
    install(packages, {"packages": {"node_modules/peer": {"version": "0.9.0"}}})
    assert left_out() is None
    assert (packages / "ran").exists()


@pytest.mark.parametrize("version", ["18.19.0", "20.11.9"])
def test_a_node_that_is_too_old_is_named(packages: Path, version: str) -> None:
    program(packages.parent / "node", f"echo v{version}")
    assert left_out() == f"it needs Node >=20.12, and this is {version}"


def test_an_installation_that_fails_is_told(packages: Path) -> None:
    program(packages.parent / "npm", "echo 'no such package' >&2; exit 1")
    assert left_out() == "npm ci failed: no such package"


def test_an_installation_has_a_bounded_time(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_INSTALL_SECONDS", 0.1)
    program(packages.parent / "npm", "sleep 600")
    assert left_out() == "npm ci failed: it takes more than 0.1 s"
