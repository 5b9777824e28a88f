"""Workers: several processes that serve on one socket, each replaced when it is killed."""

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

# Seconds that workers have for leaving, besides those that the settings give them.
PATIENCE = 5.0

log = structlog.get_logger("satchel.workers")

_spawn = multiprocessing.get_context("spawn")


def run_workers(server: DrainingServer, listener: socket.socket) -> None:
    """Keep as many processes as the server's settings say, until an exception, such as a signal's,
    ends this one's wait.

    Not uvicorn's own supervisor, which takes a worker for hung that has not imported the
    application within seconds, as happens on a busy machine, and listens to no signal meanwhile.
    Errors: SystemExit, with the status of a worker that ended by itself: its successors would too.
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
                mark_process_dead(index)  # what it was doing when it died, it does no more
                processes[index] = _start(server, listener, index)
    finally:
        listener.close()  # the last worker that closes it refuses whoever comes then
        for number in (signal.SIGINT, signal.SIGTERM):  # they hear a second one, too
            signal.signal(number, lambda *_: _tell(processes))
        _tell(processes)
        deadline = time.monotonic() + server.delay + server.grace + PATIENCE
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
            process.kill()  # one that still has not left


def _tell(processes: list[multiprocessing.context.SpawnProcess]) -> None:
    for process in processes:
        process.terminate()


def _start(
    server: DrainingServer, listener: socket.socket, index: int
) -> multiprocessing.context.SpawnProcess:
    process = _spawn.Process(
        target=server.run, args=([listener],), name=f"{WORKER}{index}", daemon=True
    )
    # Ctrl-C in a terminal reaches all processes, but workers leave when the parent tells them to.
    resource_tracker.ensure_running()  # or its start, as a part of the first worker's, would unmask
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return process


async def follow_parent() -> None:
    """Leave when the parent is no more: killed, it could not tell its workers to."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        drop_files()
        signal.raise_signal(signal.SIGTERM)
