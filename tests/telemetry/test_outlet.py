"""Lines on standard error: together, in order, and none lost, however a process ends."""

import asyncio
import io
import logging
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from sqlalchemy import URL

from app.postgres.statements import Statements
from app.telemetry import outlet
from app.telemetry.logs import configure_logs
from app.telemetry.outlet import OUTLET, PIECE_SIZE
from tests.applications import client_of, make_settings, running_app
from tests.waiting import PATIENCE, come

pytestmark = pytest.mark.usefixtures("logs_restored")

ROOT = Path(__file__).parents[2]
HEAD = """
import asyncio, os, signal, sys
import structlog
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background ignore it
from app.telemetry.logs import configure_logs
from tests.applications import make_settings
configure_logs(make_settings(log_level="info", log_format="json"))
log = structlog.get_logger("satchel.test")
"""


class Recorder(io.StringIO):
    """A standard error that keeps what each write wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)

    def events(self) -> list[str]:
        return events("".join(self.writes))


class Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    configure_logs(make_settings(log_level="info", log_format="json"))
    recorder = Recorder()
    # pytest itself sets sys.stderr between fixtures and test.
    monkeypatch.setattr(outlet, "sys", SimpleNamespace(stderr=recorder))
    return recorder


@pytest.fixture
def log(recorder: Recorder) -> Any:
    return structlog.get_logger("satchel.test")


def events(written: str) -> list[str]:
    """Those of JSON lines, among which a traceback may be."""
    return re.findall(r'^\{.*"event":"(.*?)".*\}$', written, re.MULTILINE)


class TestWrites:
    async def test_lines_of_one_turn_are_one_write(self, recorder: Recorder, log: Any) -> None:
        for number in range(3):
            log.info(str(number))
        assert recorder.writes == []
        await asyncio.sleep(0)
        assert len(recorder.writes) == 1
        assert recorder.events() == ["0", "1", "2"]
        log.warning("3")
        await asyncio.sleep(0)
        assert recorder.events() == ["0", "1", "2", "3"]

    def test_without_a_loop_each_line_is_written_at_once(
        self, recorder: Recorder, log: Any
    ) -> None:
        for number in range(3):
            log.info(str(number))
            assert len(recorder.writes) == number + 1

    @pytest.mark.parametrize("level", ["error", "critical", "exception"])
    async def test_an_error_is_written_at_once_after_the_lines_before_it(
        self, recorder: Recorder, log: Any, level: str
    ) -> None:
        log.info("before")
        getattr(log, level)("error")
        assert recorder.events() == ["before", "error"]

    async def test_lines_of_libraries_are_written_at_once_after_the_lines_before_them(
        self, recorder: Recorder, log: Any
    ) -> None:
        log.info("first")
        logging.getLogger("somebody.else").warning("second")
        assert recorder.events() == ["first", "second"]
        log.info("third")
        await asyncio.sleep(0)
        assert recorder.events() == ["first", "second", "third"]

    async def test_no_write_is_too_large_for_a_pipe_to_take_in_one_piece(
        self, recorder: Recorder, log: Any
    ) -> None:
        for number in range(100):
            log.info(str(number))
        long = "x" * 2 * PIECE_SIZE
        log.info(long)
        log.info("end")
        await asyncio.sleep(0)
        assert recorder.events() == [*map(str, range(100)), long, "end"]
        assert all(write.endswith("}\n") for write in recorder.writes)
        sizes = [len(write) for write in recorder.writes if long not in write]
        assert len(sizes) < 50
        assert max(sizes) <= PIECE_SIZE
        assert [write.count("\n") for write in recorder.writes if long in write] == [1]

    async def test_bytes_count_not_characters(self, recorder: Recorder) -> None:
        line = "ü" * (PIECE_SIZE // 3) + "\n"
        for _ in range(3):
            OUTLET.write(line)
        OUTLET.flush()
        assert recorder.writes == [line] * 3

    def test_no_line_of_any_thread_is_lost(self, recorder: Recorder, log: Any) -> None:
        def write(name: str) -> None:
            for number in range(200):
                log.info(".".join((name, str(number))))

        async def write_in_a_loop() -> None:
            threads = [threading.Thread(target=write, args=[name]) for name in "0123"]
            for thread in threads:
                thread.start()
            for number in range(200):
                log.info(".".join(("4", str(number))))
                await asyncio.sleep(0)
            await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))

        asyncio.run(come(write_in_a_loop()))
        written = recorder.events()
        assert len(written) == 1000
        for name in "01234":
            own = [event for event in written if event.startswith(f"{name}.")]
            assert own == [f"{name}.{number}" for number in range(200)]

    def test_lines_of_a_loop_that_ran_no_further_are_written(
        self, recorder: Recorder, log: Any
    ) -> None:
        async def write_and_stop(loop: asyncio.AbstractEventLoop) -> None:
            log.info("first")
            loop.stop()

        first = asyncio.new_event_loop()
        task = first.create_task(write_and_stop(first))
        first.run_forever()
        assert task.done()
        first.close()
        assert recorder.writes == []

        async def write() -> None:
            log.info("second")

        asyncio.run(write())
        assert recorder.events() == ["first", "second"]


class TestBroken:
    @pytest.mark.parametrize(
        "stream",
        [
            None,
            Broken(BrokenPipeError()),
            Broken(BlockingIOError()),
            Broken(ValueError("I/O operation on closed file")),
        ],
        ids=["none", "gone", "full", "closed"],
    )
    async def test_does_not_break_requests(
        self, database: URL, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None
    ) -> None:
        async with running_app(database, log_level="info") as app, client_of(app) as client:
            monkeypatch.setattr(sys, "stderr", stream)
            for _ in range(2):
                assert (await client.get("/accounts")).status_code == 200
                structlog.get_logger("satchel.test").error("it failed")
                logging.getLogger("somebody.else").error("it failed")
            monkeypatch.setattr(sys, "stderr", recorder := Recorder())
            assert (await client.get("/accounts")).status_code == 200
        assert recorder.events().count("request") == 1  # nothing was kept meanwhile


class TestFork:
    def test_a_child_does_not_write_the_lines_of_its_parent(self) -> None:
        forking = """
async def main():
    log.info("parent")
    if os.fork() == 0:
        log.error("child")
        os._exit(0)
    os.wait()
asyncio.run(main())
"""
        assert run(forking) == ["child", "parent"]

    def test_a_child_can_write_and_has_no_lines(self, recorder: Recorder) -> None:
        OUTLET.write("parent\n")
        OUTLET._lock.acquire()  # as is done before a fork
        OUTLET._start_again()
        OUTLET.write("child\n")
        thread = threading.Thread(target=OUTLET.flush)
        thread.start()
        thread.join(PATIENCE)
        assert recorder.writes == ["child\n"]


def run(script: str, status: int = 0) -> list[str]:
    """The events that a program logs."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return events(done.stderr)


class TestEnds:
    @pytest.mark.parametrize(
        ("end", "status"),
        [
            ("asyncio.get_running_loop().stop()", 0),
            ("asyncio.get_running_loop().call_soon(sys.exit, 5)", 5),
            ("sys.exit(5)", 5),
            ("raise LookupError", 1),
            ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
        ],
    )
    def test_the_last_lines_are_written(self, end: str, status: int) -> None:
        script = f"""
async def main():
    log.info("first")
    log.info("last")
    {end}
asyncio.run(main())
"""
        assert run(script, status) == ["first", "last"]

    async def test_the_last_line_of_an_application_is_written_when_it_has_stopped(
        self,
        database: URL,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        close = Statements.close

        async def close_and_log(statements: Statements) -> None:
            await close(statements)
            structlog.get_logger("satchel.test").info("last")

        monkeypatch.setattr(Statements, "close", close_and_log)
        async with running_app(database, log_level="info"):
            pass
        assert '"event":"last"' in capsys.readouterr().err
