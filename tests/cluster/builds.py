"""The build before this one, as its commit has it, and one after it, with migrations of its own."""

import hashlib
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from filelock import FileLock

from app.postgres.migrations import ROOT
from tests.clients.conftest import run_tool
from tests.expansion import add_expansion
from tests.programs import find_program, leave_out, write_program

COMMIT = (Path(__file__).parent / "build_before.txt").read_text().strip()
VERSION_AFTER = "999.0.0"


def install_build_before(config: pytest.Config) -> Path:
    """The folder of its programs, in an environment with what its own locks name."""
    git = (find_program("git", "git"), "-c", "safe.directory=*", "-C", str(ROOT))
    known = subprocess.run([*git, "cat-file", "-e", COMMIT], capture_output=True, check=False)
    if known.returncode:
        leave_out(f"the commit {COMMIT[:12]} is missing: clone the repository with its history")
    assert config.cache is not None
    name = hashlib.sha256(f"{COMMIT} {sys.version}".encode()).hexdigest()[:16]
    home = config.cache.mkdir("builds") / name
    tree, environment, made = home / "tree", home / "environment", home / "made"
    with FileLock(home.with_suffix(".lock")):
        if not made.exists():
            shutil.rmtree(home, ignore_errors=True)
            tree.mkdir(parents=True)
            archive = subprocess.run([*git, "archive", COMMIT], stdout=subprocess.PIPE, check=True)
            subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
            venv.create(environment, symlinks=True)
            install = [sys.executable, "-m", "scripts.install", "--project", "--python"]
            python = environment / "bin" / "python"
            run_tool(*install, python, "requirements/embedded.lock", cwd=tree)
            made.touch()
    return environment / "bin"


def make_build_after(folder: Path) -> Path:
    """The folder of the program of a build with another version, and more migrations."""
    tree = folder / "tree"
    for name in ("app", "alembic"):
        shutil.copytree(ROOT / name, tree / name)
    shutil.copy(ROOT / "alembic.ini", tree)
    init = tree / "app" / "__init__.py"
    text = re.sub('__version__ = ".*"', f'__version__ = "{VERSION_AFTER}"', init.read_text())
    init.write_text(text)
    add_expansion(tree / "alembic" / "versions")
    script = f'PYTHONPATH="{tree}" exec "{sys.executable}" -m app.cli.commands "$@"'
    write_program(folder / "bin" / "satchel", script)
    return folder / "bin"
