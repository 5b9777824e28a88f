"""Runs several worker processes on one socket, and replaces those that are killed."""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import time
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

import structlog
from prometheus_client.multiprocess import mark_process_dead

from app.serving.draining import DrainingServer
from app.telemetry.outlet import OUTLET
from app.telemetry.request_counters import WORKER

# Grace on top of the shutdown settings before a worker is killed.
EXIT_GRACE_SECONDS = 5.0
# A worker is replaced at once, unless it was started less than this time ago.
RESTART_SECONDS = 1.0

log = structlog.get_logger("satchel.workers")

# Forked workers share the memory of what their parent has imported, and need not import it again.
# On macOS, libraries of the system may crash in a process that was forked and runs no new program.
_context = (
    multiprocessing.get_context("fork")
    if sys.platform == "linux"
    else multiprocessing.get_context("spawn")
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_workers(server: DrainingServer, listener: socket.socket) -> None:
    """Run the configured number of processes until an exception ends the wait, such as that of a
    signal handler.

    uvicorn's own supervisor kills workers that take more than seconds to import the application, as
    happens on a busy machine, and handles no signals meanwhile.
    Errors: SystemExit, with the status of a worker that exited by itself, as its replacement would.
    """
    # The garbage collector writes to all objects that it knows, and so copies the shared memory.
    gc.disable()
    processes = [_start(server, listener, index) for index in range(server.config.workers)]
    started = [time.monotonic()] * len(processes)
    try:
        while True:
            multiprocessing.connection.wait([process.sentinel for process in processes])
            for index, process in enumerate(processes):
                if process.exitcode is None:
                    continue
                log.warning("worker ended", pid=process.pid, status=process.exitcode)
                if process.exitcode >= 0:
                    sys.exit(process.exitcode)
                mark_process_dead(index)  # removes its gauges, such as requests in flight
                time.sleep(max(0.0, started[index] + RESTART_SECONDS - time.monotonic()))
                processes[index] = _start(server, listener, index)
                started[index] = time.monotonic()
    finally:
        listener.close()  # when the last worker closes it too, new connections are refused
        for number in _SIGNALS:  # workers get further signals too
            signal.signal(number, lambda *_: _terminate(processes))
        _terminate(processes)
        deadline = time.monotonic() + server.delay + server.grace + EXIT_GRACE_SECONDS
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
            process.kill()


def _terminate(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()


def _start(server: DrainingServer, listener: socket.socket, index: int) -> BaseProcess:
    process = _context.Process(
        target=_work, args=(server, listener), name=f"{WORKER}{index}", daemon=True
    )
    if _context.get_start_method() == "spawn":
        resource_tracker.ensure_running()  # else the first worker starts it, which unmasks SIGINT
    gc.freeze()
    # The worker unblocks SIGTERM once it no longer has the handlers of its parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return process


def _work(server: DrainingServer, listener: socket.socket) -> None:
    """What a worker does."""
    # SIGINT stays blocked. Ctrl-C in a terminal reaches all processes, but workers exit when the
    # parent terminates them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    gc.enable()
    try:
        server.run(sockets=[listener])
    finally:
        OUTLET.flush()  # a forked process runs no exit handlers


async def follow_parent() -> None:
    """Exit if the parent was killed, since it could not terminate its workers."""
    parent = multiprocessing.parent_process()
    # Workers that were forked later keep the pipe open by which this one would notice.
    if parent is not None and (os.getppid() != parent.pid or not parent.is_alive()):
        signal.raise_signal(signal.SIGTERM)
