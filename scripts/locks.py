"""Write the locks, or compare them with what would be written.

python -m scripts.locks [--upgrade | --check]

A lock follows from pyproject.toml, from the versions that it has, and from what the index held at
the time in `locked_at.txt`; files that are published later change nothing. Only the main index
counts: what one machine has besides is not for all.
"""

import argparse
import datetime as dt
import difflib
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.uv import ROOT, NoUv, environment_of, fetch_uv, run

LOCKED_AT = ROOT / "requirements/locked_at.txt"
# Each is made from these arguments; a later one takes the versions of an earlier one (-c).
INSTALLER = "requirements/installer.lock"
DEV = "requirements/dev.lock"
PRODUCTION = "requirements/production.lock"
LOCKS = {
    INSTALLER: ["--group", "installer"],
    DEV: ["pyproject.toml", "--all-extras", "--group", "dev", "-c", INSTALLER],
    PRODUCTION: ["pyproject.toml", "-c", DEV],
    "requirements/tracing.lock": ["pyproject.toml", "--extra", "tracing", "-c", PRODUCTION],
    "requirements/build.lock": ["--group", "build", "-c", DEV],
    "requirements/embedded.lock": [
        *("pyproject.toml", "--extra", "embedded", "--group", "build", "-c", PRODUCTION)
    ],
    "requirements/bench.lock": [
        *("pyproject.toml", "--extra", "embedded", "--group", "bench", "-c", DEV)
    ],
    "requirements/audit.lock": ["--group", "audit"],
    "tests/clients/requirements-sdk.lock": ["tests/clients/requirements-sdk.in"],
    "tests/sdks/requirements.lock": ["tests/sdks/requirements.in"],
}
COMPILE = [
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--custom-compile-command", "make lock"),
]


class CannotLock(Exception):
    """The index cannot be asked, or nothing fits."""


class Compiler:
    """The locked uv, so that another one's ways change nothing, at the time `when`."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.uv = fetch_uv()
        self.environment = environment_of(self.uv, of_this_machine=False)

    def compile(self, lock: str, *, upgrade: bool = False) -> str:
        """The lock as it should be: its versions where they still fit, and all their hashes."""
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder, "draft.lock")
            if (ROOT / lock).exists() and not upgrade:
                draft.write_text(without_hashes((ROOT / lock).read_text()))
            done = run(
                [self.uv, *COMPILE, *LOCKS[lock], "--exclude-newer", self.when, "-o", draft],
                self.environment,
            )
            if done.returncode:
                raise CannotLock(f"{lock}: {done.stderr.strip()}")
            return draft.read_text()


def without_hashes(text: str) -> str:
    """The versions alone: uv would keep the hashes that it finds, and look for no others."""
    return re.sub(r" \\\n *--hash=\S+", "", text)


def write(*, upgrade: bool) -> None:
    """Write all anew, as of now; with `upgrade` in the newest versions."""
    # An index shows a file some time after it was uploaded.
    when = f"{dt.datetime.now(dt.UTC) - dt.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    for locks in ([INSTALLER], LOCKS):  # first uv's own: it writes the others
        compiler = Compiler(when)
        for lock in locks:
            (ROOT / lock).write_text(compiler.compile(lock, upgrade=upgrade))
    LOCKED_AT.write_text(f"{when}\n")


def check() -> None:
    """Exits with what `make lock` would change, had nothing been published since."""
    compiler = Compiler(LOCKED_AT.read_text().strip())
    with ThreadPoolExecutor() as threads:
        texts = list(threads.map(compiler.compile, LOCKS))
    changes = [
        line
        for lock, text in zip(LOCKS, texts, strict=True)
        for line in difflib.unified_diff(
            (ROOT / lock).read_text().splitlines(), text.splitlines(), lock, lock, n=0, lineterm=""
        )
    ]
    if changes:
        sys.exit("\n".join([*changes[:40], "The locks are not what make lock writes: run it."]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the locks.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--upgrade", action="store_true", help="take the newest versions")
    what.add_argument("--check", action="store_true", help="write nothing, tell what would change")
    options = parser.parse_args()
    try:
        if options.check:
            check()
        else:
            write(upgrade=options.upgrade)
    except (CannotLock, NoUv) as reason:
        done = "compared with the package index" if options.check else "written"
        sys.exit(f"The locks cannot be {done}: {reason}")


if __name__ == "__main__":
    main()
