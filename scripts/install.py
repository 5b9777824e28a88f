"""Install exactly what a lock names into an environment: by uv, or by pip where uv cannot.

python -m scripts.install [--python PYTHON] [--project] LOCK
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence

from scripts.uv import FROM_LOCK, PIP, ROOT, NoUv, environment_of, find_uv, run

PROJECT = ("install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
Steps = Sequence[Sequence[str]]


def install(lock: str, python: str, *, project: bool) -> None:
    steps = [(*FROM_LOCK, "-r", lock)] + ([PROJECT] if project else [])
    try:
        by_uv(steps, python)
    except UvFailed as failed:
        print(f"uv cannot install this ({failed}): pip does.", file=sys.stderr)
        by_pip(steps, python)
    except NoUv as reason:
        print(f"uv cannot be fetched ({reason}): pip installs.", file=sys.stderr)
        by_pip(steps, python)


class UvFailed(Exception):
    """Its text is the first line of uv's own."""


def by_uv(steps: Steps, python: str) -> None:
    """Errors: NoUv, UvFailed."""
    uv = find_uv()
    environment = environment_of(uv)
    for step in steps:
        done = run([uv, "pip", *step, "--python", python], environment)
        if done.returncode:
            raise UvFailed(done.stderr.strip().partition("\n")[0])
    check([str(uv), "pip", "check", "--python", python], environment)


def by_pip(steps: Steps, python: str) -> None:
    pip = (*PIP, "--python", python)
    for step in steps:
        if subprocess.run([*pip, *step], cwd=ROOT, check=False).returncode:
            sys.exit(1)  # pip has said why
    check([*pip, "check"])


def check(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Whether all that is installed fits together."""
    done = run(command, environment)
    if done.returncode:
        sys.exit(f"What is installed does not fit together:\n{done.stdout}{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Install exactly what a lock names.")
    parser.add_argument("lock")
    parser.add_argument("--python", default=sys.executable, help="of the environment to fill")
    parser.add_argument("--project", action="store_true", help="install the project, editable, too")
    options = parser.parse_args()
    try:
        install(options.lock, options.python, project=options.project)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
