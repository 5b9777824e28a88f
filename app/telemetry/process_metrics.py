"""CPU, memory and files of the process, kept where workers share them."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

# How the figures of workers become one; those that are not here are summed.
_Mode = Literal["livemin", "livesum"]
_MODES: dict[str, _Mode] = {"process_start_time_seconds": "livemin", "process_max_fds": "livemin"}


class ProcessMeter:
    """The library's collector tells of one process only; here its figures become metrics.

    Where the system does not tell them, there are none.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source = ProcessCollector(registry=None)
        self._counters: dict[str, tuple[Counter, float]] = {}
        self._gauges: dict[str, Gauge] = {}
        self._registry = registry

    def sample(self) -> None:
        for family in self._source.collect():
            value = family.samples[0].value
            if family.type == "counter":
                self._count(family.name, family.documentation, value)
            else:
                self._set(family.name, family.documentation, value)

    def _count(self, name: str, documentation: str, total: float) -> None:
        if name not in self._counters:
            self._counters[name] = (Counter(name, documentation, registry=self._registry), 0.0)
        counter, before = self._counters[name]
        counter.inc(max(0.0, total - before))
        self._counters[name] = (counter, total)

    def _set(self, name: str, documentation: str, value: float) -> None:
        if name not in self._gauges:
            mode = _MODES.get(name, "livesum")
            self._gauges[name] = Gauge(
                name, documentation, multiprocess_mode=mode, registry=self._registry
            )
        self._gauges[name].set(value)
