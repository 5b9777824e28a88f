"""`make install` says what is wrong with the Python that it is given."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.uv import ROOT
from tests.programs import find_program


def make(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_program("make", "make"), f"VENV={venv}", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        # make hands its own variables on to a make that it starts
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )


def fake_python(tmp_path: Path, script: str) -> Path:
    fake = tmp_path / "my python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return fake


@pytest.mark.parametrize("made", [False, True], ids=["first", "again"])
def test_a_python_that_is_not_there_is_named(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "made").touch()
    done = make(tmp_path, "PYTHON=/nonexistent", "install")
    assert done.returncode == 2
    assert "PYTHON=/nonexistent: there is no such program" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "case $2 in *print*) echo Python 3.10;; *) exit 1;; esac",
            "is Python 3.10: Satchel needs",
        ),
        ("echo hello", "does not run as a Python"),
        ("exit 3", "does not run as a Python"),
    ],
)
def test_a_program_that_will_not_do_is_named(tmp_path: Path, script: str, reason: str) -> None:
    fake = fake_python(tmp_path, script)
    done = make(tmp_path / "venv", f"PYTHON={fake}", "install")
    assert done.returncode == 2
    assert f"PYTHON={fake} {reason}" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_environment_of_another_python_is_not_taken_for_the_one_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "made").touch()
    (tmp_path / "bin" / "python").symlink_to(fake_python(tmp_path, "echo 3.14"))
    done = make(tmp_path, "install")
    assert "was made with another Python" not in done.stderr  # none was named
    done = make(tmp_path, "PYTHON=python3", "install")
    assert "was made with another Python than python3: run make clean first" in done.stderr


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    for stamp in ("made", "run", "dev"):
        (tmp_path / stamp).touch()
    done = make(tmp_path, "install")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing to be done" in done.stdout


@pytest.mark.slow
def test_an_installation_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nowhere = f"PIP_INDEX_URL={(tmp_path / 'empty').as_uri()}"
    alone = [nowhere, "UV_OFFLINE=1", "PIP_CONFIG_FILE=/dev/null", "PIP_FIND_LINKS="]
    for _ in range(2):
        done = make(tmp_path / "venv", "install", *alone, f"UV_CACHE_DIR={tmp_path / 'cache'}")
        assert done.returncode == 2
        assert "No matching distribution found" in done.stderr
        assert "Installing Satchel" in done.stdout
        assert {"made", "run", "dev"} & {p.name for p in (tmp_path / "venv").iterdir()} == {"made"}


@pytest.mark.parametrize("target", ["bench", "bench-quick"])
def test_a_benchmark_records_the_python_that_was_named(tmp_path: Path, target: str) -> None:
    named = make(tmp_path, "-n", target, "PYTHON=/usr/bin/python3").stdout
    assert f'--command "make {target} PYTHON=/usr/bin/python3"' in named
    assert f'--command "make {target}"' in make(tmp_path, "-n", target).stdout
