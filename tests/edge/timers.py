"""The time of connections, which passes when the test says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Timer:
    """What `call_later` returns."""

    when: float
    callback: Callable[..., object]
    arguments: tuple[Any, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class TimersOfTheTest:
    """A protocol's loop, except that its clock stands still until the test moves it."""

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
        """Let time pass; what is due on the way is called in its order. On the loop's thread."""
        end = self._now + seconds
        while due := [one for one in self._timers if one.when <= end and not one.cancelled]:
            timer = min(due, key=lambda one: one.when)
            self._timers.remove(timer)
            self._now = timer.when
            timer.callback(*timer.arguments)
        self._now = end
