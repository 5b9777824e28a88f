"""The order of a run: what is done to a contestant before anything is measured."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import harness, wrk
from benchmarks.contestants.registry import CONTESTANTS, Contestant
from benchmarks.harness import Harness
from benchmarks.plan import FULL, QUICK, Cell, Plan

Event = tuple[str, str, str, float]


def run(plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What a run does: loads to warm up with their seconds, and samples."""
    events: list[Event] = []
    slept: list[float] = []

    @contextlib.contextmanager
    def load(port: int, operation: str, _connections: int, _targets: Path) -> Iterator[Any]:
        slept.clear()
        yield SimpleNamespace(wait_until_ready=lambda: None, finish=lambda: None)
        events.append(("warm-up", CONTESTANTS[port].name, operation, sum(slept)))

    def take_sample(_server: Any, _postgres: Any, cell: Cell, *_: Any) -> None:
        events.append(("sample", cell.contestant, cell.operation, 0))

    @contextlib.contextmanager
    def servers(contestants: list[Contestant], *_: Any) -> Iterator[list[Any]]:
        yield [
            SimpleNamespace(
                contestant=one,
                port=CONTESTANTS.index(one),
                client=None,
                log=None,
                wait_until_ready=lambda: None,
            )
            for one in contestants
        ]

    targets = SimpleNamespace(write=lambda *_: None)
    monkeypatch.setattr(wrk, "load", load)
    monkeypatch.setattr(harness, "take_sample", take_sample)
    monkeypatch.setattr(harness, "running_servers", servers)
    monkeypatch.setattr(harness, "make_targets", lambda *_: targets)
    monkeypatch.setattr(harness, "check", lambda *_: None)
    monkeypatch.setattr(harness, "check_promises", lambda *_: None)
    monkeypatch.setattr("time.sleep", slept.append)
    Harness(plan, cast(Any, None), folder).run(list(CONTESTANTS))
    return events


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
def test_each_operation_is_warmed_up_for_four_seconds_before_anything_is_measured(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = run(plan, tmp_path, monkeypatch)
    kinds = [kind for kind, *_ in events]
    warm_ups = kinds.index("sample")  # the servers of the first number of workers
    measured = {(name, operation) for kind, name, operation, _ in events if kind == "sample"}
    warmed = {(name, operation): seconds for _, name, operation, seconds in events[:warm_ups]}
    assert measured <= warmed.keys()
    assert set(warmed.values()) == {4}
    # The servers of each number of workers are others, which begin cold.
    assert kinds.count("warm-up") == len(plan.workers) * warm_ups
