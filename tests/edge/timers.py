"""Timers of connections that only advance when the test says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Timer:
    """The result of `call_later`."""

    when: float
    callback: Callable[..., object]
    arguments: tuple[Any, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualTimers:
    """A wrapper of a protocol's event loop whose clock only the test advances."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._now = 0.0
        self._timers: list[Timer] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(self._now + delay, callback, arguments)
        self._timers.append(timer)
        return timer

    def forward(self, seconds: float) -> None:
        """Advance the clock and call the due timers in order. Must run in the loop's thread."""
        end = self._now + seconds
        while due := [one for one in self._timers if one.when <= end and not one.cancelled]:
            timer = min(due, key=lambda one: one.when)
            self._timers.remove(timer)
            self._now = timer.when
            timer.callback(*timer.arguments)
        self._now = end
