"""`satchel serve` for real: it starts, survives what it must, and leaves nothing behind."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL

from app.auth.key_format import make_key
from tests.conftest import Server, add_revision, free_port, server_environment
from tests.factories import account_body
from tests.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.usefixtures("measured"),
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]

ROOT = Path(__file__).parents[2]
EMBEDDED = {"CONFIG_MODE": "development"}
UVICORN = ("-m", "uvicorn", "--factory", "app.main:create_app")
Process = tuple[int, int]  # its number and when it began, since numbers are used again
Launch = Callable[..., Server]


def stat_of(pid: int) -> tuple[int, Process] | None:
    """The parent's number and the process; None where it is gone, or dead and not yet reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), (pid, int(fields[19])))


def descendants(pid: int) -> set[Process]:
    """All processes that a process has started, and those that these have."""
    everyone = [stat_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    alive = [stat for stat in everyone if stat is not None]
    found: set[Process] = set()
    ancestors = {pid}
    while ancestors:
        born = {process for parent, process in alive if parent in ancestors} - found
        found |= born
        ancestors = {number for number, _ in born}
    return found


def named(processes: set[Process], name: str) -> set[Process]:
    found = set()
    for pid, began in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if name in Path(f"/proc/{pid}/cmdline").read_text():
                found.add((pid, began))
    return found


def kill(processes: set[Process]) -> None:
    for pid, _ in processes:
        with contextlib.suppress(ProcessLookupError):  # some end with the first of them
            os.kill(pid, signal.SIGKILL)


def left_of(processes: set[Process]) -> set[Process]:
    stats = {pid: stat_of(pid) for pid, _ in processes}
    return {stat[1] for stat in stats.values() if stat is not None} & processes


def wait_until_gone(processes: set[Process]) -> None:
    wait_until(lambda: not left_of(processes), f"still there: {left_of(processes)}")


def assert_gone(processes: set[Process]) -> None:
    """A parent that ended in order has waited for its children, and not for Python's own helper,
    which ends once it has nobody to help.
    """
    left = left_of(processes)
    assert left_of(left - named(left, "resource_tracker")) == set()
    wait_until_gone(processes)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory to serve from, with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="satchel-") as path:
        yield Path(path)


@pytest.fixture
def launch(directory: Path) -> Iterator[Launch]:
    """Starts servers without waiting for them; whatever they left is killed after the test."""
    servers: list[Server] = []

    def start(environment: dict[str, str], *options: str, **place: Any) -> Server:
        servers.append(Server(environment, *options, **{"cwd": directory, **place}))
        return servers[-1]

    yield start
    for server in servers:
        kill(descendants(server.process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)  # what its end made an orphan, too
        server.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to serve from, whose embedded server the tests share: making one takes time."""
    return tmp_path_factory.mktemp("home")


def log_of(server: Server) -> str:
    return server.log.read_text()


class TestEmbedded:
    def test_starts_from_nothing_and_leaves_nothing(self, launch: Launch) -> None:
        server = launch(EMBEDDED)
        server.wait_until_ready()
        assert f"Satchel serves on {server.url}/docs\n" in log_of(server)
        assert httpx2.get(f"{server.url}/docs", timeout=PATIENCE).status_code == 200
        assert (server.log.parent / ".data").is_dir()
        processes = descendants(server.process.pid)
        assert named(processes, "postgres")
        assert server.stop(signal.SIGTERM) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_interrupted_on_the_terminal_it_leaves_nothing(
        self, launch: Launch, home: Path
    ) -> None:
        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        processes = descendants(server.process.pid)
        os.killpg(server.process.pid, signal.SIGINT)  # as Ctrl-C does
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)
        assert "Aborted" not in log_of(server)

    def test_interrupted_while_starting_it_leaves_nothing(self, launch: Launch) -> None:
        server = launch(EMBEDDED)
        processes: set[Process] = set()

        def starts_a_database() -> bool:
            processes.update(descendants(server.process.pid))
            return bool(processes)

        wait_until(starts_a_database, "it starts no process")
        assert server.stop(signal.SIGINT) == 0
        wait_until_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_what_was_created_outlives_every_crash(self, launch: Launch, home: Path) -> None:
        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        first = httpx2.post(f"{server.url}/accounts", json=account_body(), timeout=PATIENCE)
        assert first.status_code == 201

        kill(named(descendants(server.process.pid), "postgres"))
        wait_until(lambda: "embedded_postgresql_ended" in log_of(server), "it does not say so")
        assert httpx2.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 503
        assert server.stop() == 0

        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        second = httpx2.post(f"{server.url}/accounts", json=account_body(), timeout=PATIENCE)
        assert second.status_code == 201

        processes = descendants(server.process.pid)
        os.kill(server.process.pid, signal.SIGSTOP)  # so that it cannot do anything about it
        kill(named(processes, "postgres"))
        server.process.kill()
        server.process.wait()
        wait_until_gone(processes)

        again = launch(EMBEDDED, cwd=home)
        again.wait_until_ready()
        for created in (first, second):
            found = httpx2.get(again.url + created.headers["location"], timeout=PATIENCE)
            assert (found.status_code, found.json()) == (200, created.json())

    def test_killed_alone_it_takes_its_database_along(self, launch: Launch, home: Path) -> None:
        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        processes = descendants(server.process.pid)
        server.process.kill()
        server.process.wait()
        wait_until_gone(processes)


def code_tree(path: Path) -> Path:
    """Our code to start from, with migrations of its own."""
    tree = path / "tree"
    shutil.copytree(ROOT / "alembic", tree / "alembic")
    shutil.copy(ROOT / "alembic.ini", tree)
    (tree / "app").symlink_to(ROOT / "app")
    return tree


def workers_of(server: Server) -> set[Process]:
    return named(descendants(server.process.pid), "spawn_main")


class TestWorkers:
    def test_serve_together_and_leave_together(self, launch: Launch, home: Path) -> None:
        server = launch({**EMBEDDED, "LOG_LEVEL": "info"}, "--workers", "2", cwd=home)
        server.log.write_text("")

        def started() -> int:
            return log_of(server).count("startup complete")

        wait_until(lambda: started() == 2, "no two workers")
        before = workers_of(server)
        assert len(before) == 2
        kill({next(iter(before))})
        wait_until(lambda: started() == 3, "no new worker in its place")
        server.wait_until_ready()
        assert len(workers_of(server)) == 2
        assert len(workers_of(server) & before) == 1

        processes = descendants(server.process.pid)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_interrupted_while_they_start_leave_in_silence(
        self, launch: Launch, database: URL
    ) -> None:
        server = launch(server_environment(database), "--workers", "2")
        wait_until(lambda: len(workers_of(server)) == 2, "no two workers")
        maps = [Path(f"/proc/{pid}/maps") for pid, _ in workers_of(server)]
        wait_until(lambda: all("pydantic" in file.read_text() for file in maps), "no imports")
        processes = descendants(server.process.pid)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert log_of(server) == f"Satchel serves on {server.url}/docs\n"

    def test_that_hang_are_killed(self, launch: Launch, database: URL) -> None:
        impatient = "from app.serving import workers; workers.PATIENCE = 0.5;"
        command = ("-c", f"{impatient} from app.cli.commands import main; main()", "serve")
        environment = {**server_environment(database), "SHUTDOWN_GRACE": "1"}
        server = launch(environment, "--workers", "2", command=command)
        server.wait_until_ready()
        workers = workers_of(server)
        for pid, _ in workers:
            os.kill(pid, signal.SIGSTOP)
        assert server.stop(signal.SIGTERM) == 0
        assert_gone(workers)

    def test_follow_a_parent_that_was_killed(self, launch: Launch, home: Path) -> None:
        server = launch(EMBEDDED, "--workers", "2", cwd=home)
        server.wait_until_ready()
        processes = descendants(server.process.pid)
        assert len(workers_of(server)) == 2
        server.process.kill()
        server.process.wait()
        wait_until_gone(processes)

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_that_cannot_start_end_it_with_a_failure(
        self, launch: Launch, tmp_path: Path, workers: str
    ) -> None:
        # Only workers look at the migrations here, since the parent has nothing to migrate.
        tree = code_tree(tmp_path)
        (tree / "alembic" / "versions" / "broken.py").write_text("raise ImportError('broken')\n")
        environment = {
            "CONFIG_MODE": "testing",
            "TEST_DATABASE_URL": "postgresql://h/d",
            "MIGRATE_ON_START": "false",
            "PYTHONPATH": str(tree),
        }
        server = launch(environment, "--workers", workers)
        assert server.process.wait(PATIENCE) == 3
        assert "ImportError: broken" in log_of(server)


class TestReload:
    def test_serves_and_migrates_to_the_changed_code(
        self, launch: Launch, database: URL, tmp_path: Path
    ) -> None:
        tree = code_tree(tmp_path)
        environment = {
            **server_environment(database),
            "LOG_LEVEL": "info",
            "PYTHONPATH": str(tree),
        }
        server = launch(environment, "--reload")
        server.wait_until_ready()

        add_revision(tree / "alembic" / "versions")

        def reloads() -> bool:
            # A new file alone restarts nothing, nor does a change that came before the first look.
            (tree / "alembic" / "env.py").touch()
            return "Reloading" in log_of(server)

        wait_until(reloads, "it sees no change")
        wait_until(lambda: log_of(server).count("startup complete") > 1, "it does not restart")
        server.wait_until_ready()  # with the new schema, or it would not be
        assert "Running upgrade" in log_of(server)
        processes = descendants(server.process.pid)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)


class TestDeployed:
    def test_without_its_database_it_lives_and_is_not_ready(self, launch: Launch) -> None:
        url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/d"
        server = launch({"CONFIG_MODE": "production", "DATABASE_URL": url})
        wait_until(lambda: "startup complete" in log_of(server), "it does not start")
        key = make_key("production")
        statuses = {
            ("/livez?secret=1", ""): 200,
            ("/readyz", ""): 503,
            ("/accounts?email=secret@example.com", key): 503,
            ("/accounts?email=secret@example.com", "secret"): 401,
            ("/secret?secret=1", ""): 401,
            ("/docs", ""): 404,
        }
        for (path, token), status in statuses.items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            assert (
                httpx2.get(server.url + path, headers=headers, timeout=PATIENCE).status_code
                == status
            )
        assert server.stop() == 0

        announcement, *lines = log_of(server).splitlines()
        assert announcement == f"Satchel serves on {server.url}/"  # production has no /docs
        events = [json.loads(line) for line in lines]
        requests = [event for event in events if event["event"] == "request"]
        assert [(event["route"], event["status"]) for event in requests] == [
            ("/livez", 200),
            ("/readyz", 503),
            (None, 503),  # whether the key is good, nobody can tell
            (None, 401),
            (None, 401),
            (None, 404),
        ]
        assert key not in log_of(server)
        assert "secret" not in log_of(server)
        assert "hunter2" not in log_of(server)

    def test_on_ipv6_and_any_port_it_tells_its_url(self, launch: Launch, database: URL) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("there is no IPv6 on this machine: nothing to install")
        server = launch(server_environment(database), "--host", "::1", "--port", "0")
        told = re.compile(r"Satchel serves on (http://\[::1\]:[1-9]\d*)/docs\n")
        wait_until(lambda: told.search(log_of(server)), "it tells no address")
        match = told.search(log_of(server))
        assert match is not None
        assert httpx2.get(f"{match[1]}/livez", timeout=PATIENCE).status_code == 200


class TestUvicorn:
    def test_serves_the_factory_too(self, launch: Launch, home: Path) -> None:
        environment = {**EMBEDDED, "LOG_FORMAT": "json"}
        server = launch(environment, cwd=home, command=UVICORN)
        server.log.write_text("")
        server.wait_until_ready()
        found = httpx2.get(f"{server.url}/accounts?email=secret@example.com", timeout=PATIENCE)
        assert found.status_code == 200
        processes = descendants(server.process.pid)
        assert named(processes, "postgres")
        server.stop()
        assert_gone(processes)
        events = [json.loads(line) for line in log_of(server).splitlines()]
        routes = [event["route"] for event in events if event["event"] == "request"]
        assert routes.count("/accounts") == 1
        assert "secret" not in log_of(server)
