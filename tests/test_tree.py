"""The top of the tree holds what a visitor needs, and nothing that was left lying about."""

import fnmatch
import subprocess
from pathlib import Path

from scripts.locks import LOCKS

ROOT = Path(__file__).parent.parent
FOLDERS = {"alembic", "app", "benchmarks", "deploy", "docs", "requirements", "scripts", "tests"}
FILES = {
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("Makefile", "Dockerfile", "alembic.ini", "pyproject.toml"),
    *(".ci", ".dockerignore", ".env.example", ".gitattributes", ".gitignore"),
}


def names_at_the_top() -> set[str]:
    """What git tracks; in an unpacked archive, all that git would not ignore."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return {path.partition("/")[0] for path in listing.split("\0") if path}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    names = [path.name for path in ROOT.iterdir()]
    return {name for name in names if not any(fnmatch.fnmatch(name, one) for one in ignored)}


def test_nothing_lies_at_the_top_that_does_not_belong_there() -> None:
    assert names_at_the_top() == FOLDERS | FILES


def test_locks_lie_where_they_are_looked_for() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob("requirements/*.lock")}
    found |= {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/*.lock")}
    assert found == set(LOCKS)
