"""A run of the tests that is killed leaves no process behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard import descendants
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# A server with workers on a database of the run's own, one with an embedded PostgreSQL, a process
# that would go on for ever, and one that is started by another in an environment of its own.
RUN = """
import subprocess, sys, time
from pathlib import Path
from tests.servers import Server, server_environment

def test_that_is_killed(database, start_server):
    start_server(server_environment(database), "--workers", "2")
    embedded = {"CONFIG_MODE": "testing", "EMBEDDED_DATA_DIR": str(Path(__file__).with_name("pg"))}
    start_server(embedded)
    burner = [sys.executable, "-c", "while True: pass"]
    starter = f"import subprocess; subprocess.run({burner}, env={{}})"
    subprocess.Popen([sys.executable, "-c", starter], start_new_session=True)
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    Path(__file__).with_name("ready").touch()
    time.sleep(3600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("plugins", [[], ["-n1"]])
def test_nothing_outlives_a_run_that_is_killed(tmp_path: Path, plugins: list[str]) -> None:
    (tmp_path / "test_killed.py").write_text(RUN)
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={ROOT}", "-p", "tests.conftest"]
    command += [f"--config-file={ROOT / 'pyproject.toml'}", f"--basetemp={tmp_path / 'base'}"]
    with subprocess.Popen([*command, *plugins, tmp_path], cwd=ROOT) as run:
        try:
            wait_until(
                lambda: (tmp_path / "ready").exists() or run.poll() is not None, "it does not start"
            )
            assert run.poll() is None
            started = descendants({run.pid}) - {run.pid}
            commands = [command_of(pid) for pid in started]
        finally:
            run.kill()
    for part in (
        "app.cli.commands",
        "postgres",
        "sleep",
        "while True",
        "tests/guard.py",
    ):
        assert any(part in command for command in commands), (part, commands)
    # On Linux, a worker has the command of its parent. Elsewhere, there is no /proc.
    assert sum("--workers 2" in command for command in commands) == 3, commands
    # On Linux, a worker has the command of its parent. Elsewhere, there is no /proc.
    assert sum("--workers 2" in command for command in commands) == 3, commands
    wait_until(lambda: not any(map(lives, started)), "something outlives the run")


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def lives(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][0] != "Z"


def test_the_guard_ends_with_the_run() -> None:
    started = "import os, tests.guard; tests.guard.start_guard(); print(os.getpid())"
    done = subprocess.run(
        [sys.executable, "-c", started], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    guards = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"SATCHEL_TESTS_{done.stdout.strip()}" in command_of(int(path.parent.name))
    ]
    assert guards == []
