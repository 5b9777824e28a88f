"""Metrics of CPU, memory and files of the processes, in a form that workers can share."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

# How the gauges of several workers become one; those that are not listed are added up.
_Mode = Literal["livemin", "livesum"]
_MODES: dict[str, _Mode] = {"process_start_time_seconds": "livemin", "process_max_fds": "livemin"}


class ProcessMetrics:
    """Copies the figures of the library's collector, which knows one process only, to metrics.

    On systems where the collector finds no figures, there are no metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source = ProcessCollector(registry=None)
        self._registry = registry
        self._counters: dict[str, Counter] = {}
        self._totals: dict[str, float] = {}
        self._gauges: dict[str, Gauge] = {}

    def sample(self) -> None:
        for family in self._source.collect():
            name, help_text, value = family.name, family.documentation, family.samples[0].value
            if family.type == "counter":
                if name not in self._counters:
                    self._counters[name] = Counter(name, help_text, registry=self._registry)
                self._counters[name].inc(max(0.0, value - self._totals.get(name, 0.0)))
                self._totals[name] = value
            else:
                if name not in self._gauges:
                    mode = _MODES.get(name, "livesum")
                    self._gauges[name] = Gauge(
                        name, help_text, multiprocess_mode=mode, registry=self._registry
                    )
                self._gauges[name].set(value)
