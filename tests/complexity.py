"""Measures the time complexity of a call, independently of the load of the machine."""

import time
from collections.abc import Callable

SMALL, FACTOR = 10_000, 16


def is_linear(call: Callable[[bytes], object], make_input: Callable[[int], bytes]) -> bool:
    """Whether an input that is 16 times as long takes about 16 times the CPU time, and not 256.

    Only the CPU time of this thread counts. Other processes still use the caches, so each size is
    measured three times, and a deviation by a factor of four is accepted.
    """
    small = min(_cpu_seconds(call, make_input(SMALL)) for _ in range(3))
    limit = 4 * FACTOR * small
    return any(_cpu_seconds(call, make_input(SMALL * FACTOR)) < limit for _ in range(3))


def _cpu_seconds(call: Callable[[bytes], object], source: bytes) -> float:
    started = time.thread_time()
    call(source)
    return time.thread_time() - started
