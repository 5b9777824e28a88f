"""Fixtures of all tests, by concern, and what the runner reports."""

import os
import sys

import pytest

from tests.factories import restart_numbers
from tests.guard import start_guard
from tests.pythons import note_on_python

start_guard()

pytest_plugins = [
    "tests.environment",
    "tests.fixtures.coverage",
    "tests.fixtures.database",
    "tests.fixtures.application",
    "tests.fixtures.server",
    "tests.fixtures.replication",
]


@pytest.fixture(autouse=True)
def numbers(request: pytest.FixtureRequest) -> None:
    """Bodies of a test do not depend on the tests that ran before it."""
    restart_numbers(request.node.nodeid)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors, since tests wait for servers now and then."""
    return len(os.sched_getaffinity(0)) + 1 if sys.platform == "linux" else (os.cpu_count() or 1)


def pytest_report_header() -> str | None:
    return note_on_python(sys.version_info[:2])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for all that was skipped, naming what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
    if reasons:
        terminalreporter.write_line(f"Left out: {'; '.join(reasons)}")
