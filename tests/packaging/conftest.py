"""What wheels and images are made from, and programs that are not this checkout's."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]
# What makes a wheel or an image, and some of what does not.
PARTS = (
    *(".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml"),
    *("alembic", "alembic.ini", "app", "docs", "requirements", "scripts", "tests"),
)
LITTER = (
    *(".env", "app/.env", "app/api/docs/static/.env", "alembic/.env", "alembic/versions/.env"),
    *("app/main.py~", "app/.main.py.swp", "app/edge/.#stack.py", "app/api/docs/static/page.css~"),
    *("alembic/versions/0001.py~", "alembic/__pycache__/env.cpython-311.pyc", "notes.txt"),
    *("app/__pycache__/main.cpython-311.pyc", "app/api/docs/static/__pycache__/a.pyc"),
    "app/notes.txt",
    *(".venv/bin/python", ".data/owner.lock", ".git/config", "dist/old.whl", "requirements/.env"),
)


class Checkout(NamedTuple):
    """A folder, and the names of the files in it that Satchel consists of."""

    folder: Path
    sources: frozenset[str]


@pytest.fixture(scope="session")
def littered(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of this checkout, in which lies what lies about where somebody works."""
    folder = tmp_path_factory.mktemp("checkout") / "satchel"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".*", "*~")
    for part in (ROOT / name for name in PARTS):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, ignore=ignored)
        else:
            shutil.copy(part, folder)
    sources = [
        *(folder / "alembic.ini", folder / "alembic/script.py.mako"),
        *(folder / "alembic").rglob("*.py"),
        *(folder / "app").rglob("*.py"),
        *(path for path in (folder / "app/api/docs/static").rglob("*") if path.is_file()),
    ]
    for name in LITTER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("litter")
    return Checkout(folder, frozenset(path.relative_to(folder).as_posix() for path in sources))


class Program(Server):
    """A server that is started by any command, in an environment of these variables alone."""

    def __init__(
        self, command: Sequence[object], environment: Mapping[str, str], port: int, cwd: Path
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = cwd / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def ask(
    command: Sequence[object], environment: Mapping[str, str] = os.environ, cwd: Path = ROOT
) -> tuple[int, str, str]:
    """The exit status of a command, its output and its errors."""
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
