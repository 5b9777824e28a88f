"""How the work of a call grows with its input, however busy the machine."""

import time
from collections.abc import Callable

SMALL, FACTOR = 10_000, 16


def grows_with_size_alone(call: Callable[[bytes], object], source: Callable[[int], bytes]) -> bool:
    """Whether an input 16 times as long takes about 16 times the work, and not 256 times.

    The work is what this thread itself computes, so that others take nothing away from it. They
    still use the caches, so several looks are taken, and a factor of four is allowed.
    """
    small = min(_work(call, source(SMALL)) for _ in range(3))
    return any(_work(call, source(SMALL * FACTOR)) < 4 * FACTOR * small for _ in range(3))


def _work(call: Callable[[bytes], object], source: bytes) -> float:
    started = time.thread_time()
    call(source)
    return time.thread_time() - started
