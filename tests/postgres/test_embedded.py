"""The embedded PostgreSQL, run for real: what it survives, whom it serves, what it refuses."""

import contextlib
import ctypes
import fcntl
import os
import pwd
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from app.postgres.embedded import (
    EmbeddedError,
    binaries,
    child,
    embedded_postgres,
    find_binaries,
    privileges,
    server,
)
from app.postgres.embedded.home import Home
from tests.databases import server_folder
from tests.programs import write_program
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Commits still reach the kernel, which is enough to outlive a killed process.
FAST = {"fsync": "off", "full_page_writes": "off"}
AS_ROOT = os.geteuid() == 0
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
as_root = pytest.mark.skipif(not AS_ROOT, reason="needs root")

# A process that wants a database until its standard input ends.
USER = f"""
import sys
from pathlib import Path
from app.postgres.embedded import EmbeddedError, embedded_postgres
try:
    with embedded_postgres(Path(sys.argv[1]), settings={FAST}) as url:
        print(url, flush=True)
        sys.stdin.read()
except EmbeddedError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that is not there yet."""
    with server_folder() as base:
        yield base / "home"
        wait_until(lambda: not processes_in(base), "a process is left")


def processes_in(folder: Path) -> list[int]:
    """Who works in a directory: PostgreSQL's processes do in their data directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


@contextlib.contextmanager
def user_process(
    home: Path, *, prefix: Sequence[str] = (), source: str = USER
) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the home, and has its URL."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-W", "error", "-c", source, home],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql+asyncpg://")
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)


async def ask(url: str, statement: str) -> object:
    dsn = make_url(url).set(drivername="postgresql").render_as_string()
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close(timeout=PATIENCE)


def postmaster(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text().split()[0])


def log_of(home: Path) -> str:
    log = home / "postgres.log"
    return log.read_text() if log.exists() else ""


def fake_programs(
    folder: Path, *, initdb: str = 'echo 18 > "$2/PG_VERSION"', postgres: str = "exec sleep 60"
) -> Path:
    version = '[ "$1" = --version ] && echo "postgres (PostgreSQL) 18.6" && exit'
    write_program(folder / "initdb", initdb)
    write_program(folder / "postgres", f"{version}\n{postgres}")
    return folder


def ordinary_user() -> list[str]:
    """What runs a command as nobody, for root; a user namespace where nobody cannot run Python."""
    if not AS_ROOT:
        return []
    nobody = pwd.getpwnam("nobody")
    ids = f"{nobody.pw_uid}", f"{nobody.pw_gid}"
    drop = ["setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--"]
    # Twice, because setpriv itself still may go anywhere.
    trial = [*drop, sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.executable)"]
    if subprocess.run(trial, check=False, input=b"", capture_output=True).returncode == 0:
        return drop
    return ["unshare", "-U", f"--map-user={ids[0]}", f"--map-group={ids[1]}", "--"]


class TestServing:
    async def test_a_cold_start_gives_a_durable_private_server(self, home: Path) -> None:
        with embedded_postgres(home) as url:
            assert await ask(url, "SHOW fsync") == "on"
            assert await ask(url, "SHOW listen_addresses") == ""
            assert await ask(url, "SELECT lower('ÄÖ') || current_user") == "äöpostgres"
            assert await ask(url, "SHOW data_directory") == str(home / "data")
            for private in (home, home / "data", home / "socket"):
                assert private.stat().st_mode & 0o777 == 0o700
                assert private.stat().st_uid == os.geteuid()
            assert (home / "socket" / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
            assert (home / "postgres.log").stat().st_mode & 0o777 == 0o600
        assert {path.name for path in home.iterdir()} == {
            *("data", "socket", "owner.lock", "server.lock", "postgres.log")
        }
        assert not (home / "data" / "postmaster.pid").exists()

    async def test_data_outlive_the_server_and_odd_names_are_quoted(self, home: Path) -> None:
        odd = home / "a b&ü%41@#?+'"
        with embedded_postgres(odd, settings=FAST) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        with embedded_postgres(odd, settings=FAST | {"work_mem": "5MB"}) as url:
            engine = create_async_engine(url)
            async with engine.connect() as connection:
                assert await connection.scalar(text("SELECT answer FROM kept")) == 42
                assert await connection.scalar(text("SHOW work_mem")) == "5MB"
            await engine.dispose()

    async def test_the_starting_thread_may_end(self, home: Path) -> None:
        server = embedded_postgres(home, settings=FAST)
        with ThreadPoolExecutor(1) as thread:
            url = thread.submit(server.__enter__).result()
        assert await ask(url, "SELECT 1") == 1
        server.__exit__(None, None, None)

    async def test_the_shells_settings_do_not_count(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "5433")
        monkeypatch.setenv("PGDATESTYLE", "German")
        monkeypatch.setenv("LC_ALL", "no_SUCH")
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SHOW DateStyle") == "ISO, MDY"

    def test_a_new_socket_directory_is_private(self, home: Path, tmp_path: Path) -> None:
        (home / "socket").mkdir(mode=0o755, parents=True)
        with embedded_postgres(home, settings=FAST):
            assert (home / "socket").stat().st_mode & 0o777 == 0o700
        (home / "socket").rmdir()
        (home / "socket").symlink_to(tmp_path)
        with pytest.raises(EmbeddedError, match=r"cannot work in .*Not a directory"):
            embedded_postgres(home, settings=FAST).__enter__()


class TestSharing:
    async def test_a_second_process_shares_the_server(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST) as url:
            first = postmaster(home)
            with user_process(home) as second:
                assert postmaster(home) == first
                second.kill()
                second.wait()
            assert await ask(url, "SELECT 1") == 1

    async def test_one_process_may_ask_twice(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST) as url:
            with embedded_postgres(home, settings=FAST) as same:
                assert same == url
            assert await ask(url, "SELECT 1") == 1

    async def test_a_second_process_says_when_the_owner_has_left(self, home: Path) -> None:
        with (
            user_process(home) as owner,
            embedded_postgres(home, settings=FAST) as url,
            capture_logs() as logs,
        ):
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
            assert owner.stdin is not None
            owner.stdin.close()
            assert owner.wait(PATIENCE) == 0
            wait_until(lambda: logs, "it does not say so")
            with pytest.raises(OSError, match=r"No such file|Connection refused"):
                await ask(url, "SELECT 1")
        assert [line["event"] for line in logs] == ["embedded_postgresql_ended"]
        assert logs[0]["log_level"] == "warning"
        assert "has left" in logs[0]["detail"]
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT answer FROM kept") == 42

    def test_processes_that_the_owner_has_forked_keep_no_lock_of_a_server_that_has_ended(
        self, home: Path
    ) -> None:
        forking = """
import os, signal, sys
from pathlib import Path
from app.postgres.embedded import embedded_postgres
from app.postgres.embedded.home import Home, try_lock
from tests.databases import FAST
from tests.waiting import wait_until
home = Home(Path(sys.argv[1]))
with embedded_postgres(home.path, settings=FAST):
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(home.ready_pid(), signal.SIGQUIT)
    with home.open("server.lock") as lock:
        wait_until(lambda: try_lock(lock), "a child keeps the lock")
    os.kill(child, signal.SIGKILL)
"""
        subprocess.run([sys.executable, "-c", forking, home], check=True, cwd=ROOT, timeout=600)

    async def test_a_block_that_ends_first_says_nothing(self, home: Path) -> None:
        others = threading.enumerate()  # of the server of all tests
        with capture_logs() as logs:
            with embedded_postgres(home, settings=FAST), embedded_postgres(home, settings=FAST):
                started = [thread for thread in threading.enumerate() if thread not in others]
                reporters = [thread for thread in started if "_report_end" in thread.name]
                assert len(reporters) == 2
            for reporter in reporters:
                reporter.join(PATIENCE)
                assert not reporter.is_alive()
        assert logs == []

    async def test_two_that_start_at_once_make_one_database(
        self, home: Path, tmp_path: Path
    ) -> None:
        real = find_binaries(None)
        once = fake_programs(
            tmp_path,
            initdb=f'echo >> {tmp_path}/made; exec {real}/initdb "$@"',
            postgres=f'exec {real}/postgres "$@"',
        )

        def use() -> int:
            with embedded_postgres(home, bindir=once, settings=FAST):
                both.wait(PATIENCE)
                found = postmaster(home)
                both.wait(PATIENCE)
                return found

        both = threading.Barrier(2)
        with ThreadPoolExecutor(2) as threads:
            uses = [threads.submit(use), threads.submit(use)]
        assert uses[0].result() == uses[1].result()
        assert (tmp_path / "made").read_text() == "\n"

    async def test_an_owner_that_stops_is_waited_for_and_replaced(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST):
            pass
        with (home / "owner.lock").open("wb") as lock, ThreadPoolExecutor(1) as thread:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second = embedded_postgres(home, settings=FAST)
            url = thread.submit(second.__enter__)
            time.sleep(0.2)
            assert not url.done()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert await ask(url.result(PATIENCE), "SELECT 1") == 1
            second.__exit__(None, None, None)

    def test_an_owner_that_does_not_get_ready_is_waited_for_in_vain(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "WAIT_SECONDS", 0.1)
        home.mkdir()
        with (home / "owner.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(EmbeddedError, match="Another process owns"):
                embedded_postgres(home).__enter__()


@on_linux
class TestCrashes:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    async def test_the_server_follows_its_owner(self, home: Path, number: signal.Signals) -> None:
        with user_process(home) as owner:
            assert processes_in(home)
            owner.send_signal(number)
            assert owner.wait() == -number
            wait_until(lambda: not processes_in(home), "the server does not follow")
            assert not (home / "data" / "postmaster.pid").exists()  # it left in order
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT 1") == 1

    async def test_a_killed_server_is_reported_and_the_next_start_recovers(
        self, home: Path
    ) -> None:
        with embedded_postgres(home, settings=FAST) as url, capture_logs() as logs:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
            os.kill(postmaster(home), signal.SIGKILL)
            wait_until(lambda: logs, "it is not reported")
        assert logs[0]["event"] == "embedded_postgresql_ended"
        assert "crashed" in logs[0]["detail"]
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT answer FROM kept") == 42

    async def test_the_next_start_recovers_when_both_are_killed(self, home: Path) -> None:
        with user_process(home) as owner:
            place = Home(home.resolve())
            await ask(place.url, "CREATE TABLE kept AS SELECT 42 AS answer")
            server = postmaster(home)
            os.kill(server, signal.SIGSTOP)  # so that it cannot leave in order
            owner.kill()
            owner.wait()
            os.kill(server, signal.SIGKILL)
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT answer FROM kept") == 42

    async def test_a_server_left_behind_is_replaced(self, home: Path, tmp_path: Path) -> None:
        """As on macOS, where nothing tells the server that its owner is dead."""
        script = tmp_path / "child.py"
        script.write_text("import os, sys; os.execv(sys.argv[4], sys.argv[4:])")
        source = f"from app.postgres.embedded import child; child.__file__ = {str(script)!r}; "
        with user_process(home, source=source + f"exec({USER!r})") as owner:
            left_behind = postmaster(home)
            owner.kill()
            owner.wait()
            time.sleep(0.1)
            assert left_behind in processes_in(home)
            with embedded_postgres(home, settings=FAST) as url:
                assert await ask(url, "SELECT 1") == 1
                assert postmaster(home) != left_behind

    async def test_a_stale_pid_file_harms_nobody(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST):
            pid_file = (home / "data" / "postmaster.pid").read_text()
        with subprocess.Popen(["sleep", "60"]) as innocent:
            _, _, rest = pid_file.partition("\n")
            (home / "data" / "postmaster.pid").write_text(f"{innocent.pid}\n{rest}")
            (home / "socket" / ".s.PGSQL.5432").touch()
            (home / "socket" / ".s.PGSQL.5432.lock").write_text(f"{innocent.pid}\n{rest}")
            with embedded_postgres(home, settings=FAST) as url:
                assert await ask(url, "SELECT 1") == 1
            assert innocent.poll() is None
            innocent.kill()

    def test_an_old_word_of_readiness_is_no_proof(self, home: Path) -> None:
        (home / "data").mkdir(parents=True)
        (home / "data" / "postmaster.pid").write_text("1\n2\n3\n4\n5\n6\n7\nready   \n")
        (home / "socket").mkdir(mode=0o700)
        assert Home(home).ready_pid() is None

    def test_a_server_started_by_hand_is_left_alone(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST):
            pass
        pid_file = home / "data" / "postmaster.pid"
        with subprocess.Popen(["sleep", "60"], cwd=home / "data") as by_hand:
            pid_file.write_text(f"{by_hand.pid}\n{home / 'data'}\n")
            (home / "socket" / ".s.PGSQL.5432").touch()
            with pytest.raises(EmbeddedError, match=f"Process {by_hand.pid} already serves"):
                embedded_postgres(home, settings=FAST).__enter__()
            assert (home / "socket" / ".s.PGSQL.5432").exists()
            assert by_hand.poll() is None
            assert pid_file.exists()
            by_hand.kill()

    def test_a_socket_on_which_a_server_listens_is_kept(self, home: Path) -> None:
        """The only sign of a server that was started by hand where there is no /proc."""
        with embedded_postgres(home, settings=FAST):
            pass
        path = home / "socket" / ".s.PGSQL.5432"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            with pytest.raises(EmbeddedError, match=f"Process {os.getpid()} already serves"):
                embedded_postgres(home, settings=FAST).__enter__()
        assert path.exists()

    @pytest.mark.parametrize("content", ["", "\0\0\0\n", "-99999999\n"])
    def test_a_pid_file_of_nobody_is_removed(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "postmaster.pid").write_text(content)
        server._remove_stale_pid(tmp_path)
        assert not (tmp_path / "postmaster.pid").exists()

    @pytest.mark.parametrize(("folder", "kept"), [("data", True), ("other", False)])
    def test_a_process_that_may_not_be_looked_at_is_known_by_its_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, kept: bool
    ) -> None:
        def forbidden(_: Path) -> Path:
            raise PermissionError

        data = tmp_path / "data"
        data.mkdir()
        command = ["sh", "-c", "echo; read line", "-D", str(tmp_path / folder)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lives:
            assert lives.stdout is not None
            lives.stdout.readline()
            (data / "postmaster.pid").write_text(f"{lives.pid}\n")
            with monkeypatch.context() as patch, contextlib.suppress(EmbeddedError):
                patch.setattr(Path, "readlink", forbidden)
                server._remove_stale_pid(data)
            lives.communicate()
        assert (data / "postmaster.pid").exists() is kept

    def test_a_pid_file_is_kept_where_nothing_is_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "postmaster.pid").write_text("1\n")
        monkeypatch.setattr(server, "_PROC", tmp_path / "none")
        server._remove_stale_pid(tmp_path)
        assert (tmp_path / "postmaster.pid").exists()

    def test_an_earlier_server_that_stays_is_not_doubled(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "WAIT_SECONDS", 0.1)
        home.mkdir()
        with (home / "server.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(EmbeddedError, match="The last server does not stop"):
                embedded_postgres(home).__enter__()


class TestStopping:
    @pytest.mark.parametrize(("deaf", "end"), [(False, signal.SIGINT), (True, signal.SIGKILL)])
    def test_a_server_that_does_not_stop_is_killed(
        self, monkeypatch: pytest.MonkeyPatch, deaf: bool, end: signal.Signals
    ) -> None:
        monkeypatch.setattr(server, "SHUTDOWN_SECONDS", 0.2 if deaf else PATIENCE)
        # Not a shell, which keeps ignoring SIGINT where these tests run in the background.
        script = (
            "import signal, time\n"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            f"signal.signal(signal.SIGINT, signal.{'SIG_IGN' if deaf else 'SIG_DFL'})\n"
            "print(flush=True)\n"
            "while True: time.sleep(60)"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            server._stop(process)
        assert process.returncode == -end

    def test_a_caller_may_leave_before_it_is_ready(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "WAIT_SECONDS", 10 * PATIENCE)

        def interrupt(_number: int, _frame: object) -> None:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)  # it waits on: there is another
            raise KeyboardInterrupt

        def interrupt_when_it_starts() -> None:
            wait_until(lambda: "I start" in log_of(home), "it does not start")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

        before = signal.signal(signal.SIGALRM, interrupt)
        programs = fake_programs(tmp_path, postgres=f"echo I start; exec sleep {10 * PATIENCE:.0f}")
        try:
            with ThreadPoolExecutor(1) as thread:
                started = thread.submit(interrupt_when_it_starts)
                with pytest.raises(KeyboardInterrupt) as interrupted:
                    embedded_postgres(home, bindir=programs).__enter__()
                started.result()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        # Of one interrupt, not of another as well.
        assert not isinstance(interrupted.value.__context__, KeyboardInterrupt)


@on_linux
class TestWhomItRunsAs:
    @pytest.mark.parametrize("who", ["root", "ordinary user"])
    async def test_anybody_can_start_it(self, home: Path, who: str) -> None:
        if who == "root":
            prefix = [] if AS_ROOT else ["unshare", "-U", "-r", "--"]
        else:
            prefix = ordinary_user()
            home.parent.chmod(0o777)
        with user_process(home, prefix=prefix) as process:
            data = home / "data"
            assert (data / "postmaster.pid").stat().st_uid == data.stat().st_uid
            assert data.stat().st_mode & 0o777 == 0o700
            process.kill()
            process.wait()
            wait_until(lambda: not processes_in(home), "the server does not follow")

    @as_root
    async def test_root_without_user_namespaces_gives_the_data_to_another(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with embedded_postgres(home, settings=FAST) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
            assert (home / "data").stat().st_uid == 0
        home.parent.chmod(0o711)
        write_program(tmp_path / "unshare", "exit 1")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
            with embedded_postgres(home, settings=FAST) as url:
                assert await ask(url, "SELECT answer FROM kept") == 42
                owner = (home / "data" / "global" / "pg_control").stat().st_uid
                server = Path(f"/proc/{postmaster(home)}")
                assert owner == server.stat().st_uid != 0
                assert "Groups:\t \n" in (server / "status").read_text()
                assert (home / "socket").stat().st_uid == owner
                assert (home / "owner.lock").stat().st_uid == 0
        # Where namespaces are allowed again, the data stay whose they are.
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT answer FROM kept") == 42
            assert Path(f"/proc/{postmaster(home)}").stat().st_uid == owner

    @as_root
    async def test_a_dropped_server_follows_its_owner_too(self, home: Path, tmp_path: Path) -> None:
        home.parent.chmod(0o711)
        write_program(tmp_path / "unshare", "exit 1")
        path = f"PATH={tmp_path}:{os.environ['PATH']}"
        with user_process(home, prefix=["env", path]) as owner:
            assert (home / "data").stat().st_uid != 0
            owner.kill()
            owner.wait()
            wait_until(lambda: not processes_in(home), "the server does not follow")

    @as_root
    def test_a_place_that_the_other_cannot_reach_is_named(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))  # no unshare at all
        with pytest.raises(
            EmbeddedError, match=r"initdb failed.* must be able to enter"
        ) as refused:
            embedded_postgres(home, settings=FAST).__enter__()
        assert f'could not access directory "{home / "new"}": Permission denied' in str(
            refused.value
        )

    def test_somebody_elses_data_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
        with pytest.raises(EmbeddedError, match=f"belongs to user {me}, but this is user {me + 1}"):
            privileges.choose_user(tmp_path)
        assert privileges.choose_user(tmp_path / "none").uid == me + 1

    @pytest.mark.parametrize(
        ("unshare", "drops"), [("exit 0", False), ("exit 1", True), (None, True)]
    )
    def test_root_is_taken_for_another_or_becomes_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unshare: str | None, drops: bool
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setenv("PATH", str(tmp_path))
        if unshare is not None:
            write_program(tmp_path / "unshare", unshare)
        user = privileges.choose_user(tmp_path / "none")
        assert (user.uid != 0) is drops
        assert (user.wrapper == ()) is drops

    def test_root_serves_the_data_of_another_as_that_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if AS_ROOT:
            os.chown(tmp_path, 7, 8)
        owner = tmp_path.stat()
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        user = privileges.choose_user(tmp_path)
        assert user == (owner.st_uid, owner.st_gid, ())

    def test_only_the_home_is_opened_to_the_other(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = privileges.ServerUser(os.geteuid() + 1, os.getegid() + 1)
        monkeypatch.setattr(server, "choose_user", lambda _: other)
        monkeypatch.setattr(server, "_prepare_data", None)
        with pytest.raises(TypeError):
            embedded_postgres(home).__enter__()
        assert home.stat().st_mode & 0o777 == 0o711
        assert home.parent.stat().st_mode & 0o777 == 0o700

    def test_all_data_change_hands_but_not_what_links_lead_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[tuple[Path, int, int, bool]] = []
        monkeypatch.setattr(
            os, "chown", lambda *place, follow_symlinks: given.append((*place, follow_symlinks))
        )
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "link").symlink_to("/")
        me = os.geteuid()
        privileges.ServerUser(me, 8).own(tmp_path)
        assert given == []
        privileges.ServerUser(me + 1, 8).own(tmp_path)
        paths = tmp_path, tmp_path / "base", tmp_path / "base" / "link"
        assert given == [(path, me + 1, 8, False) for path in paths]

    def test_root_needs_an_account_to_run_it_as(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nobody(_: str) -> object:
            raise KeyError

        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(pwd, "getpwnam", nobody)
        with pytest.raises(EmbeddedError, match="no user postgres or nobody"):
            privileges.choose_user(tmp_path / "none")


class TestChild:
    def test_it_drops_root_before_it_ties_its_life(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[object, ...]]
    ) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        child.become([str(os.getppid()), "7", "8", "/bin/x", "y"])
        assert steps == [
            ("setgroups", []),
            ("setgid", 8),
            ("setuid", 7),
            ("prctl", 1, signal.SIGINT),
            ("execv", "/bin/x", ["/bin/x", "y"]),
        ]

    def test_it_ties_nothing_where_the_system_cannot(
        self, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[object, ...]]
    ) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        child.become([str(os.getppid()), str(os.geteuid()), "8", "/bin/x"])
        assert steps == [("execv", "/bin/x", ["/bin/x"])]

    def test_it_does_not_outlive_a_starter_that_was_too_quick_to_die(
        self, steps: list[tuple[object, ...]]
    ) -> None:
        with pytest.raises(SystemExit, match="The starting process has ended"):
            child.become(["0", str(os.geteuid()), "8", "/bin/x"])
        assert "execv" not in {step[0] for step in steps}

    def test_it_says_what_cannot_be_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        arguments = [str(os.getppid()), str(os.geteuid()), "8", "/none"]
        monkeypatch.setattr(sys, "argv", ["child.py", *arguments])
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(SystemExit, match=r"^/none cannot be run: "):
            runpy.run_path(child.__file__, run_name="__main__")

    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
        """What the child asks of the system, in order, and does not get."""
        taken: list[tuple[object, ...]] = []

        def recorder(name: str) -> Callable[..., None]:
            return lambda *arguments: taken.append((name, *arguments))

        for name in ("setgroups", "setgid", "setuid", "execv"):
            monkeypatch.setattr(os, name, recorder(name))
        libc = SimpleNamespace(prctl=recorder("prctl"))
        monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
        return taken


class TestRefusals:
    def test_other_systems_are_refused(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(EmbeddedError, match=r"not on win32.* DEVELOPMENT_DATABASE_URL"):
            embedded_postgres(home).__enter__()

    def test_they_are_refused_by_name_not_by_what_they_lack(self) -> None:
        lacking = """
import os, signal, socket, structlog, subprocess, sys
sys.modules["fcntl"] = sys.modules["pwd"] = None
del os.O_NOFOLLOW, os.geteuid, signal.SIGKILL, signal.SIGQUIT, socket.AF_UNIX
import app.postgres.embedded
sys.platform = "win32"
"""
        answer = subprocess.run(
            [sys.executable, "-c", lacking + USER, "home"],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 1
        assert answer.stderr.startswith("The embedded PostgreSQL runs on Linux and macOS")

    def test_data_of_another_version_are_refused(self, home: Path) -> None:
        with embedded_postgres(home, settings=FAST):
            pass
        version = home / "data" / "PG_VERSION"
        version.write_text("12\n")
        with pytest.raises(EmbeddedError, match=r"PostgreSQL 12, but .* PG_BINDIR .* restore"):
            embedded_postgres(home, settings=FAST).__enter__()

    def test_other_peoples_files_are_not_taken_for_data(self, home: Path) -> None:
        (home / "data").mkdir(parents=True)
        (home / "data" / "photo").touch()
        with pytest.raises(EmbeddedError, match="not empty, and PostgreSQL did not"):
            embedded_postgres(home).__enter__()
        assert (home / "data" / "photo").exists()

    async def test_half_made_data_are_never_seen(self, home: Path, tmp_path: Path) -> None:
        broken = fake_programs(tmp_path, initdb='touch "$2/half"; echo no space; exit 1')
        with pytest.raises(EmbeddedError, match=r"(?s)initdb failed.*no space"):
            embedded_postgres(home, bindir=broken).__enter__()
        assert (home / "new" / "half").exists()
        assert not (home / "data").exists()
        (home / "data").mkdir()  # an empty one is as good as none
        with embedded_postgres(home, settings=FAST) as url:
            assert await ask(url, "SELECT 1") == 1
        assert not (home / "new").exists()

    @on_linux
    def test_a_full_disk_is_named(self, home: Path) -> None:
        home.mkdir()
        mount = f'mount -t tmpfs -o size=10m none {home} && exec "$@"'
        namespace = ["unshare", "-m"] if AS_ROOT else ["unshare", "-U", "-r", "-m"]
        answer = subprocess.run(
            [*namespace, "sh", "-c", mount, "sh", sys.executable, "-c", USER, home],
            check=False,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 1
        assert answer.stderr.startswith("initdb failed")
        assert "No space left on device" in answer.stderr

    def test_a_home_that_cannot_be_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedError, match=r"cannot work in .*Not a directory"):
            embedded_postgres(tmp_path / "file" / "home").__enter__()

    def test_the_log_is_nobody_elses_file(self, home: Path, tmp_path: Path) -> None:
        home.mkdir()
        (home / "postgres.log").symlink_to(tmp_path / "precious")
        with pytest.raises(EmbeddedError, match=r"cannot work in .*postgres\.log"):
            embedded_postgres(home).__enter__()
        assert not (tmp_path / "precious").exists()

    def test_a_wrong_setting_is_refused_before_patience_is_over(self, home: Path) -> None:
        with pytest.raises(EmbeddedError, match=r'(?s)failed.*parameter "work_mem": "much"'):
            embedded_postgres(home, settings=FAST | {"work_mem": "much"}).__enter__()

    @pytest.mark.parametrize(
        ("programs", "fault"),
        [
            ({"initdb": "echo so slow; exec sleep 60"}, "(?s)initdb does not .*so slow"),
            (
                {"postgres": "echo so slow; exec sleep 60"},
                "(?s)postgres does not .*so slow",
            ),
        ],
    )
    def test_no_wait_is_endless(
        self,
        home: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        programs: dict[str, str],
        fault: str,
    ) -> None:
        def clock() -> float:
            """Stands still until the program says that it is slow, and then goes fast."""
            return server.WAIT_SECONDS + 1 if "so slow" in log_of(home) else 0

        monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
        with pytest.raises(EmbeddedError, match=fault):
            embedded_postgres(home, bindir=fake_programs(tmp_path, **programs)).__enter__()

    @pytest.mark.parametrize("name", ["x" * 90, "a,b", "a:b", 'a"b', "a\\b", "a\nb", "a\udcffb"])
    def test_a_path_that_cannot_hold_a_socket_gets_a_short_one(self, home: Path, name: str) -> None:
        folder = Home(home / name).socket.parent
        assert folder == Home(home / name).socket.parent  # in every process
        assert folder.parent == Path("/tmp")
        assert folder != Home(home / f"{name} ").socket.parent

    @pytest.mark.parametrize("name", ["x" * 90, "a,b:c"])
    async def test_which_is_private_and_goes_with_the_server(self, home: Path, name: str) -> None:
        with embedded_postgres(home / name) as url:
            assert await ask(url, "SELECT 7") == 7
            folder = Home(home / name).socket.parent
            assert folder.stat().st_mode & 0o777 == 0o700
            with user_process(home / name):
                pass
        assert not folder.exists()

    def test_a_short_one_that_is_another_users_is_refused(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Home, "_socket_dir", lambda _: tmp_path / "link")
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(EmbeddedError, match="cannot work in"):
            embedded_postgres(home).__enter__()


class TestBinaries:
    def test_the_wheel_comes_before_the_system(self) -> None:
        assert find_binaries(None).parts[-3:] == ("embedded_postgres", "pginstall", "bin")

    def test_a_named_folder_comes_before_the_wheel(self, tmp_path: Path) -> None:
        assert find_binaries(fake_programs(tmp_path)) == tmp_path

    def test_a_named_folder_without_programs_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(EmbeddedError, match="PG_BINDIR is"):
            find_binaries(tmp_path)

    def test_the_path_comes_before_debians_folders_and_those_newest_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binaries, "find_spec", lambda _: None)
        monkeypatch.setattr(binaries, "_DEBIAN", tmp_path / "lib")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        with pytest.raises(EmbeddedError, match=r"'\.\[embedded\]'.*PG_BINDIR"):
            find_binaries(None)
        for version in ("9", "15", "17", "common"):
            fake_programs(tmp_path / "lib" / version / "bin")
        (tmp_path / "lib" / "18" / "bin").mkdir(parents=True)  # a client without a server
        assert find_binaries(None) == tmp_path / "lib" / "17" / "bin"
        fake_programs(tmp_path / "bin")
        assert find_binaries(None) == tmp_path / "bin"

    def test_programs_that_do_not_run_are_named(self, home: Path, tmp_path: Path) -> None:
        broken = fake_programs(tmp_path)
        write_program(broken / "postgres", "echo 'no libz.so' >&2; exit 127")
        with pytest.raises(EmbeddedError, match=r"does not run here: no libz\.so"):
            embedded_postgres(home, bindir=broken).__enter__()
        (broken / "postgres").write_bytes(b"\x7fELF of another machine")
        with pytest.raises(EmbeddedError, match="Exec format error"):
            embedded_postgres(home, bindir=broken).__enter__()

    @pytest.mark.skipif(not binaries._DEBIAN.is_dir(), reason="needs Debian's PostgreSQL")
    async def test_the_systems_version_works_too(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binaries, "find_spec", lambda _: None)
        found = find_binaries(None)
        with embedded_postgres(home, bindir=found, settings=FAST) as url:
            version = await ask(url, "SHOW server_version_num")
        assert str(version).startswith(str(binaries.major_version(found)))
