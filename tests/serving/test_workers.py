"""Worker processes, as far as no running server is needed: see test_server.py."""

import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.serving import workers
from app.telemetry.outlet import OUTLET
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
FORKING = """
import json, os, random, sys, uuid
from app.auth.key_format import make_key
from app.edge.middleware import request_id_of
from app.models import uuid7
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

def make():
    return {
        "resource": [str(uuid7())[19:] for _ in range(3000)],  # without the time
        "request": [request_id_of(None) for _ in range(100)],
        "key": [make_key("testing") for _ in range(100)],
        "random": [random.random() for _ in range(100)],
        "uuid4": [str(uuid.uuid4()) for _ in range(100)],
        "trace": [RandomIdGenerator().generate_trace_id() for _ in range(100)],
    }

made = [json.dumps(make())]
for number in range(4):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.close(ours)
        with os.fdopen(theirs, "w") as pipe:
            json.dump(make(), pipe)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        made.append(pipe.read())
made.append(json.dumps(make()))
print(json.dumps(made))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_make_no_id_twice() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    made = [json.loads(one) for one in json.loads(done.stdout)]
    assert len(made) == 6
    for kind in made[0]:
        ids = Counter(value for one in made for value in one[kind])
        assert ids.most_common(1)[0][1] == 1, kind


class Ended(SimpleNamespace):
    """A process that a signal has killed."""

    pid, exitcode = 1, -signal.SIGKILL

    def terminate(self) -> None: ...

    def join(self, timeout: float) -> None: ...

    def kill(self) -> None: ...


@pytest.fixture
def handlers_restored() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)
    gc.enable()


@pytest.fixture
def server() -> Any:
    return SimpleNamespace(config=SimpleNamespace(workers=1), delay=0.0, grace=0.0)


@pytest.mark.usefixtures("handlers_restored")
@pytest.mark.parametrize(
    ("lifetime", "pause"), [(0.25, workers.RESTART_SECONDS - 0.25), (workers.RESTART_SECONDS, 0.0)]
)
def test_those_that_are_killed_at_their_start_are_not_restarted_in_a_tight_loop(
    monkeypatch: pytest.MonkeyPatch, server: Any, lifetime: float, pause: float
) -> None:
    now, pauses = 0.0, list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds

    def wait(sentinels: list[int]) -> list[int]:
        nonlocal now
        if len(pauses) == 3:
            raise KeyboardInterrupt
        now += lifetime
        return sentinels

    readable = Ended(sentinel=0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(workers, "_start", lambda *_: readable)
    monkeypatch.setattr(workers, "mark_process_dead", lambda _: None)
    monkeypatch.setattr(multiprocessing.connection, "wait", wait)
    with socket.socket() as listener, pytest.raises(KeyboardInterrupt):
        workers.run_workers(server, listener)
    assert pauses == [pause] * 3


@pytest.mark.usefixtures("handlers_restored")
def test_a_worker_has_no_handlers_of_its_parent_and_writes_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("the parent's"))
    gc.disable()
    seen: list[Any] = []

    def run(sockets: list[socket.socket]) -> None:
        seen.extend([*sockets, signal.getsignal(signal.SIGTERM), gc.isenabled()])
        OUTLET.write("last\n")
        sys.exit(3)

    with socket.socket() as listener, pytest.raises(SystemExit, match="3"):
        workers._work(SimpleNamespace(run=run), listener)  # type: ignore[arg-type]
    assert seen == [listener, signal.SIG_DFL, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capsys.readouterr().err == "last\n"


@pytest.mark.parametrize(
    ("parent", "ends"),
    [
        (None, False),
        (SimpleNamespace(pid=os.getppid(), is_alive=lambda: True), False),
        (SimpleNamespace(pid=os.getppid(), is_alive=lambda: False), True),
        # A sibling that was forked later keeps the pipe to the parent open.
        (SimpleNamespace(pid=-1, is_alive=lambda: True), True),
    ],
)
async def test_a_worker_ends_if_its_parent_has_ended(
    monkeypatch: pytest.MonkeyPatch, parent: Any, ends: bool
) -> None:
    raised: list[int] = []
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    await workers.follow_parent()
    assert raised == [signal.SIGTERM] * ends
