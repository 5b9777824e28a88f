"""The whole harness in small: every part works; how fast anything is, is not asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contestants.registry import CONTESTANTS
from benchmarks.plan import TINY
from tests.programs import find_program

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow


class Run:
    """What a run said and wrote."""

    def __init__(self, said: str, results: dict[str, Any]) -> None:
        self.said = said
        self.results = results
        self.cells = {(cell["contestant"], cell["operation"]): cell for cell in results["cells"]}

    def operations_of(self, contestant: str) -> set[str]:
        return {operation for name, operation in self.cells if name == contestant}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    find_program("wrk", "wrk")
    path = tmp_path_factory.mktemp("benchmark") / "results.json"
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--tiny", "--results", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, told = process.communicate(timeout=1800)
        finally:
            process.terminate()  # not killed: it has servers to stop
    assert process.returncode == 0, told
    return Run(said, json.loads(path.read_text()))


@pytest.mark.parametrize("name", ["satchel", "fastapi_usual", "raw_asgi"])
def test_each_operation_is_answered_rightly_and_measured(run: Run, name: str) -> None:
    assert run.operations_of(name) == set(TINY.operations), run.results["left_out"]
    for operation in TINY.operations:
        cell = run.cells[name, operation]
        assert cell["broken"] == 0
        for figure in ("server_us", "postgres_us", "requests_per_second", "memory_mb", "p50_ms"):
            assert cell[figure] > 0, (operation, figure)
        assert cell["p99_ms"] >= cell["p50_ms"]


def test_the_constant_costs_postgresql_nothing(run: Run) -> None:
    assert run.operations_of("fastapi_constant") == {"get"}
    assert run.cells["fastapi_constant", "get"]["statements"] == 0


def test_statements_are_counted(run: Run) -> None:
    # BEGIN, SELECT and COMMIT in the usual way; one SELECT, or less where reads share one, here.
    # In a run this short, some fall outside of the time that is measured.
    assert run.cells["fastapi_usual", "get"]["statements"] > 1
    assert 0 < run.cells["satchel", "get"]["statements"] < 2


def test_what_is_missing_is_left_out_with_a_notice(run: Run) -> None:
    for contestant in CONTESTANTS:
        if contestant.heavy:
            assert run.operations_of(contestant.name) == set()
        elif contestant.missing:
            assert run.operations_of(contestant.name) == set()
            assert f"Left out: {contestant.name}: " in run.said
        elif contestant.packages is None:
            assert run.operations_of(contestant.name), run.results["left_out"]


@pytest.mark.parametrize("name", ["fastify", "fastify_promises"])
def test_node_takes_part(run: Run, name: str) -> None:
    find_program("node", "nodejs")
    find_program("npm", "npm")
    left_out = run.results["left_out"]
    if left_out.get(name, "").startswith("npm ci failed"):
        pytest.skip("the npm registry is out of reach")
    assert run.operations_of(name) == set(TINY.operations), left_out


def test_the_tables_are_printed(run: Run) -> None:
    assert "1 worker(s), 4 connection(s)" in run.said
    assert "server CPU at 32: tutorial / Satchel" in run.said
    assert run.said.count("  Satchel ") == len(TINY.operations)


def test_results_say_how_long_each_operation_was_warmed_up(run: Run) -> None:
    assert run.results["plan"]["warm_up_seconds"] == TINY.warm_up_seconds
    assert f"each operation was warmed up for {TINY.warm_up_seconds} s" in run.said


def test_results_say_where_they_come_from(run: Run) -> None:
    assert run.results["command"].startswith("python -m benchmarks --tiny")
    assert run.results["machine"]["cores"] >= 1
    assert run.results["postgresql"]["settings"]["fsync"] == "off"
    assert {"python", "fastapi", "sqlalchemy", "wrk"} <= run.results["versions"].keys()


def test_what_satchel_alone_is_held_to_is_measured(run: Run) -> None:
    found = {one["title"]: one["reached"] for one in run.results["growth"]}
    assert set(found) == {
        "page 21 of 2,000 accounts / page 1: CPU",
        "get among 2,000 accounts / 100: CPU",
        "an account deleted with its 2,000 items: seconds",
        "satchel serve answers after: seconds",
        "CPU: import app.main / import fastapi, sqlalchemy, asyncpg, pydantic",
        "export of 1,500 accounts, csv / \\copy to CSV: speed",
        "export of 1,500 accounts, ndjson / \\copy to CSV: speed",
        "export of 1,500 accounts: growth of the server in MB",
        "import of 1,500 accounts / \\copy: speed",
        "import of 1,500 accounts: growth in MB",
        "import of 1,500 items / \\copy: speed",
        "batchCreate of 1,000 / creates by 32 connections: rows a second",
        "batchGet of 200 / 200 gets by 32 connections: CPU",
        "get by 16 connections, with an export and an import / without: p99",
        *(f"PSS of {workers} worker(s) and their parent: MB" for workers in (1, 2, 4)),
    }
    assert min(value for title, value in found.items() if "growth" not in title) > 0
    assert all(title in run.said for title in found)
