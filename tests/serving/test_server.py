"""`satchel serve` as a process: it starts, survives crashes and leaves nothing behind."""

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

import httpx
import pytest
from sqlalchemy import URL

from app.auth.key_format import make_key
from tests.databases import add_revision
from tests.factories import account_body
from tests.servers import Server, free_port, server_environment
from tests.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.usefixtures("measured"),
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]

ROOT = Path(__file__).parents[2]
EMBEDDED = {"CONFIG_MODE": "development"}
UVICORN = ("-m", "uvicorn", "--factory", "app.main:create_app")
Process = tuple[int, int]  # pid and start time, since pids are reused
Launch = Callable[..., Server]


def stat_of(pid: int) -> tuple[int, Process] | None:
    """The parent's pid and the process; None if it has ended, also if it has only given up its
    memory, after which nothing tells its command line.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ended = fields[0] in "ZX" or fields[20] == "0"
    return None if ended else (int(fields[1]), (pid, int(fields[19])))


def descendants(pid: int) -> set[Process]:
    """All descendants of a process."""
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
        with contextlib.suppress(ProcessLookupError):  # some end together with the first
            os.kill(pid, signal.SIGKILL)


def left_of(processes: set[Process]) -> set[Process]:
    stats = {pid: stat_of(pid) for pid, _ in processes}
    return {stat[1] for stat in stats.values() if stat is not None} & processes


def wait_until_gone(processes: set[Process]) -> None:
    wait_until(lambda: not left_of(processes), f"still there: {left_of(processes)}")


def assert_gone(processes: set[Process]) -> None:
    """A parent waits for its children when it exits, but not for Python's resource tracker, which
    ends by itself.
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
            os.killpg(server.process.pid, signal.SIGKILL)  # also orphans
        server.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose embedded database the tests share, since making one takes time."""
    return tmp_path_factory.mktemp("home")


def log_of(server: Server) -> str:
    return server.log.read_text()


class TestEmbedded:
    def test_starts_from_nothing_and_leaves_nothing(self, launch: Launch) -> None:
        server = launch(EMBEDDED)
        server.wait_until_ready()
        assert f"Satchel serves on {server.url}/docs\n" in log_of(server)
        assert httpx.get(f"{server.url}/docs", timeout=PATIENCE).status_code == 200
        assert (server.log.parent / ".data").is_dir()
        processes = descendants(server.process.pid)
        assert named(processes, "postgres")
        assert server.stop(signal.SIGTERM) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_after_an_interrupt_of_the_terminal_it_leaves_nothing(
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

    def test_after_an_interrupt_during_startup_it_leaves_nothing(self, launch: Launch) -> None:
        server = launch(EMBEDDED)
        processes: set[Process] = set()

        def starts_a_database() -> bool:
            processes.update(descendants(server.process.pid))
            return bool(processes)

        wait_until(starts_a_database, "it starts no database")
        assert server.stop(signal.SIGINT) == 0
        wait_until_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_committed_data_survives_every_crash(self, launch: Launch, home: Path) -> None:
        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        first = httpx.post(f"{server.url}/accounts", json=account_body(), timeout=PATIENCE)
        assert first.status_code == 201

        kill(named(descendants(server.process.pid), "postgres"))
        wait_until(lambda: "embedded_postgresql_ended" in log_of(server), "it does not say so")

        def is_unready() -> bool:
            return httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 503

        wait_until(is_unready, "it does not say that it has no database")
        assert server.stop() == 0

        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        second = httpx.post(f"{server.url}/accounts", json=account_body(), timeout=PATIENCE)
        assert second.status_code == 201

        processes = descendants(server.process.pid)
        os.kill(server.process.pid, signal.SIGSTOP)  # so that it cannot react
        kill(named(processes, "postgres"))
        server.process.kill()
        server.process.wait()
        wait_until_gone(processes)

        again = launch(EMBEDDED, cwd=home)
        again.wait_until_ready()
        for created in (first, second):
            found = httpx.get(again.url + created.headers["location"], timeout=PATIENCE)
            assert (found.status_code, found.json()) == (200, created.json())

    def test_when_it_is_killed_its_database_ends(self, launch: Launch, home: Path) -> None:
        server = launch(EMBEDDED, cwd=home)
        server.wait_until_ready()
        processes = descendants(server.process.pid)
        server.process.kill()
        server.process.wait()
        wait_until_gone(processes)


def code_tree(path: Path) -> Path:
    """A copy of the source tree with its own migrations."""
    tree = path / "tree"
    shutil.copytree(ROOT / "alembic", tree / "alembic")
    shutil.copy(ROOT / "alembic.ini", tree)
    (tree / "app").symlink_to(ROOT / "app")
    return tree


def workers_of(server: Server) -> set[Process]:
    """Those that were forked have the command line of their parent."""
    processes = descendants(server.process.pid)
    return named(processes, "app.cli.commands") | named(processes, "spawn_main")


def private_share(process: Process) -> float:
    """The part of a process's memory that it shares with no other."""
    rollup = Path(f"/proc/{process[0]}/smaps_rollup").read_text()
    sizes = {
        name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE)
    }
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) / sizes["Rss"]


SPAWN = "from app.serving import workers as w; w._context = w.multiprocessing.get_context('spawn');"
MAIN = "from app.cli.commands import main; main()"
WATCHED_MAIN = f"""
import atexit, os
atexit.register(os.write, 2, b"exit handler\\n")
try:
    {MAIN}
finally:
    os.write(2, b"finally\\n")
"""


class TestWorkers:
    @pytest.mark.parametrize("main", [MAIN, f"{SPAWN} {MAIN}"], ids=["fork", "spawn"])
    def test_serve_and_exit_together(self, launch: Launch, home: Path, main: str) -> None:
        command = ("-c", main, "serve")
        environment = {**EMBEDDED, "LOG_LEVEL": "info"}
        server = launch(environment, "--workers", "2", cwd=home, command=command)
        server.log.write_text("")

        def started() -> int:
            return log_of(server).count("startup complete")

        wait_until(lambda: started() == 2, "no two workers")
        before = workers_of(server)
        assert len(before) == 2
        database = named(descendants(server.process.pid), "postgres: checkpointer")
        kill({next(iter(before))})
        wait_until(lambda: started() == 3, "the worker is not replaced")
        server.wait_until_ready()
        assert len(workers_of(server)) == 2
        assert len(workers_of(server) & before) == 1

        terminated = next(iter(workers_of(server)))
        os.kill(terminated[0], signal.SIGTERM)
        wait_until(lambda: started() == 4, "the worker is not replaced")
        assert terminated not in workers_of(server)

        processes = descendants(server.process.pid)
        assert named(processes, "postgres: checkpointer") == database != set()
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)

    def test_share_the_memory_of_their_parent(self, launch: Launch, database: URL) -> None:
        server = launch(server_environment(database), "--workers", "2")
        server.wait_until_ready()
        assert len(workers_of(server)) == 2
        for worker in workers_of(server):
            assert private_share(worker) < 0.5

    def test_leave_exit_handlers_to_their_parent(self, launch: Launch, database: URL) -> None:
        environment = {**server_environment(database), "LOG_LEVEL": "info"}
        server = launch(environment, "--workers", "2", command=("-c", WATCHED_MAIN, "serve"))

        def wait_until_started(number: int) -> None:
            wait_until(lambda: log_of(server).count("startup complete") == number)

        for number, signum in ((2, signal.SIGKILL), (3, signal.SIGTERM)):
            wait_until_started(number)
            os.kill(next(iter(workers_of(server)))[0], signum)
        wait_until_started(4)
        assert server.stop() == 0
        assert log_of(server).count("exit handler") == log_of(server).count("finally") == 1

    def test_log_nothing_after_an_interrupt_during_startup(
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
        short = "from app.serving import workers; workers.EXIT_GRACE_SECONDS = 0.5;"
        command = ("-c", f"{short} from app.cli.commands import main; main()", "serve")
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
    def test_that_cannot_start_end_the_server_with_status_3(
        self, launch: Launch, tmp_path: Path, workers: str
    ) -> None:
        # Only workers read the migrations here, since the parent does not migrate.
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
            # New files do not cause a reload, nor do changes before the first scan.
            (tree / "alembic" / "env.py").touch()
            return "Reloading" in log_of(server)

        wait_until(reloads, "it does not reload")
        wait_until(lambda: log_of(server).count("startup complete") > 1, "it does not restart")
        server.wait_until_ready()  # so it has the new schema
        assert "Running upgrade" in log_of(server)
        processes = descendants(server.process.pid)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert_gone(processes)
        assert "Traceback" not in log_of(server)


class TestDeployed:
    def test_without_its_database_it_is_alive_but_not_ready(self, launch: Launch) -> None:
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
                httpx.get(server.url + path, headers=headers, timeout=PATIENCE).status_code
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
            (None, 503),  # the key cannot be checked
            (None, 401),
            (None, 401),
            (None, 404),
        ]
        assert key not in log_of(server)
        assert "secret" not in log_of(server)
        assert "hunter2" not in log_of(server)

    def test_on_ipv6_and_any_port_it_prints_its_url(self, launch: Launch, database: URL) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6: nothing to install")
        server = launch(server_environment(database), "--host", "::1", "--port", "0")
        announcement = re.compile(r"Satchel serves on (http://\[::1\]:[1-9]\d*)/docs\n")
        wait_until(lambda: announcement.search(log_of(server)), "it prints no URL")
        match = announcement.search(log_of(server))
        assert match is not None
        assert httpx.get(f"{match[1]}/livez", timeout=PATIENCE).status_code == 200


class TestUvicorn:
    def test_serves_the_factory_too(self, launch: Launch, home: Path) -> None:
        environment = {**EMBEDDED, "LOG_FORMAT": "json"}
        server = launch(environment, cwd=home, command=UVICORN)
        server.log.write_text("")
        server.wait_until_ready()
        found = httpx.get(f"{server.url}/accounts?email=secret@example.com", timeout=PATIENCE)
        assert found.status_code == 200
        processes = descendants(server.process.pid)
        assert named(processes, "postgres")
        server.stop()
        assert_gone(processes)
        events = [json.loads(line) for line in log_of(server).splitlines()]
        routes = [event["route"] for event in events if event["event"] == "request"]
        assert routes.count("/accounts") == 1
        assert "secret" not in log_of(server)
