"""Daemons that end with the block that started them, whatever ends it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.postgres.embedded.privileges import choose_user
from tests.programs import find_file
from tests.waiting import PATIENCE

_PYTHON = "/usr/bin/python3"  # which any user can run
_SUPERVISOR = Path(__file__).parent / "supervisor.py"
_CHANGING = ("ETCD", "LC_", "PATRONI", "PG", "PYTHON")  # variables that would change the daemons


@contextmanager
def supervised(home: Path) -> Iterator[Callable[..., None]]:
    """A function that starts a command, with `name`.log in this folder for what it writes.

    Neither PostgreSQL nor PgBouncer runs as root, so the daemons run as another user then, who owns
    the folder. What the supervisor reports is in supervisor.log.
    """
    user = choose_user(home)
    user.own(home)
    other: dict[str, Any] = {}
    if user.uid != os.geteuid():
        other = {"user": user.uid, "group": user.gid, "extra_groups": []}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CHANGING)}
    python = find_file(_PYTHON, "python3")
    with (home / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            # That other user may not be able to reach the file.
            [*user.wrapper, python, "-I", "-S", "-c", _SUPERVISOR.read_text()],
            env={**kept, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **other,
        )
    stdin = supervisor.stdin
    assert stdin is not None

    def run(name: str, *command: object) -> None:
        line = json.dumps([f"{home}/{name}.log", [str(word) for word in command]])
        stdin.write(f"{line}\n".encode())
        stdin.flush()

    try:
        yield run
    finally:
        stdin.close()
        try:
            supervisor.wait(PATIENCE)
        finally:
            supervisor.kill()
