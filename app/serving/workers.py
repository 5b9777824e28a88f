"""Runs several worker processes on one socket, and replaces those that are killed."""

import multiprocessing
import multiprocessing.connection
import signal
import socket
import sys
import time
from multiprocessing import resource_tracker

import structlog
from prometheus_client.multiprocess import mark_process_dead

from app.serving.draining import DrainingServer
from app.telemetry.request_counters import WORKER, drop_files

# Grace on top of the shutdown settings before a worker is killed.
EXIT_GRACE_SECONDS = 5.0

log = structlog.get_logger("satchel.workers")

_spawn = multiprocessing.get_context("spawn")


def run_workers(server: DrainingServer, listener: socket.socket) -> None:
    """Run the configured number of processes until an exception ends the wait, such as that of a
    signal handler.

    uvicorn's own supervisor kills workers that take more than seconds to import the application, as
    happens on a busy machine, and handles no signals meanwhile.
    Errors: SystemExit, with the status of a worker that exited by itself, as its replacement would.
    """
    processes = [_start(server, listener, index) for index in range(server.config.workers)]
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
                processes[index] = _start(server, listener, index)
    finally:
        listener.close()  # when the last worker closes it too, new connections are refused
        for number in (signal.SIGINT, signal.SIGTERM):  # workers get further signals too
            signal.signal(number, lambda *_: _terminate(processes))
        _terminate(processes)
        deadline = time.monotonic() + server.delay + server.grace + EXIT_GRACE_SECONDS
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
            process.kill()


def _terminate(processes: list[multiprocessing.context.SpawnProcess]) -> None:
    for process in processes:
        process.terminate()


def _start(
    server: DrainingServer, listener: socket.socket, index: int
) -> multiprocessing.context.SpawnProcess:
    process = _spawn.Process(
        target=server.run, args=([listener],), name=f"{WORKER}{index}", daemon=True
    )
    # Ctrl-C in a terminal reaches all processes, but workers exit when the parent terminates them.
    resource_tracker.ensure_running()  # else the first worker starts it, which unmasks SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return process


async def follow_parent() -> None:
    """Exit if the parent was killed, since it could not terminate its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        drop_files()
        signal.raise_signal(signal.SIGTERM)
