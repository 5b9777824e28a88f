"""The rounds: every contestant under the same load, by turns, so that all meet the same machine."""

import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import wrk
from benchmarks.answers import WrongAnswerError
from benchmarks.check import check
from benchmarks.contestants.registry import Contestant
from benchmarks.plan import Cell, Plan
from benchmarks.postgres import Postgres
from benchmarks.promises import check_promises
from benchmarks.sample import Figures, median_of, take_sample
from benchmarks.server import Server, ServerError, running_servers
from benchmarks.targets import Targets, make_targets

_CONNECTIONS_TO_WARM_UP = 8


class Harness:
    """A run on one PostgreSQL: what was measured so far, and what was left out and why."""

    def __init__(self, plan: Plan, postgres: Postgres, folder: Path) -> None:
        self.plan = plan
        self.postgres = postgres
        self.folder = folder
        self.samples: defaultdict[Cell, list[Figures]] = defaultdict(list)
        self.left_out: dict[str, str] = {}
        self.targets: dict[str, Targets] = {}

    def run(self, contestants: list[Contestant]) -> None:
        for workers in self.plan.workers:
            with running_servers(contestants, self.postgres, workers, self.folder) as servers:
                self._measure([server for server in servers if self._is_ready(server)], workers)

    def _is_ready(self, server: Server) -> bool:
        try:
            server.wait_until_ready()
        except ServerError as fault:
            self.left_out[server.contestant.name] = str(fault)
            return False
        return True

    def _measure(self, servers: list[Server], workers: int) -> None:
        able = {server.contestant.name: self._check(server) for server in servers}
        for round_number in range(self.plan.rounds):
            for operation, connections in self.plan.loads:
                tell(
                    f"round {round_number + 1} of {self.plan.rounds}, {workers} worker(s): "
                    f"{operation}, {connections} connection(s)"
                )
                for server in servers[round_number:] + servers[:round_number]:
                    if operation in able[server.contestant.name]:
                        cell = Cell(server.contestant.name, operation, connections, workers)
                        self._take(server, cell, able)

    def _check(self, server: Server) -> set[str]:
        """The operations that this contestant answers rightly, each warmed up."""
        contestant = server.contestant
        path = targets_path(self.folder, contestant)
        if contestant.name not in self.targets:  # later the list begins with what loads created
            made = make_targets(contestant, server.client, self.plan.amount)
            made.write(path, contestant)
            self.targets[contestant.name] = made
        targets = self.targets[contestant.name]
        able = set()
        for operation in self.plan.operations:
            if contestant.constant and operation != "get":
                continue
            try:
                check(contestant, operation, server.client, targets)
                if contestant.promises:
                    check_promises(operation, server.client, server.log)
            except WrongAnswerError as fault:
                self.left_out[f"{contestant.name}, {operation}"] = str(fault)
            else:
                able.add(operation)
                self._warm_up(server, operation, path)
        return able

    def _warm_up(self, server: Server, operation: str, targets: Path) -> None:
        seconds = self.plan.warm_up_seconds
        tell(f"warming up {server.contestant.name}: {operation}, {seconds} s")
        with wrk.load(server.port, operation, _CONNECTIONS_TO_WARM_UP, targets) as load:
            load.wait_until_ready()
            time.sleep(seconds)
            load.finish()

    def _take(self, server: Server, cell: Cell, able: dict[str, set[str]]) -> None:
        try:
            targets = targets_path(self.folder, server.contestant)
            figures = take_sample(server, self.postgres, cell, targets, self.plan.seconds)
            self.samples[cell].append(figures)
        except WrongAnswerError as fault:
            able[cell.contestant].discard(cell.operation)
            self.left_out[f"{cell.contestant}, {cell.operation}"] = str(fault)
            del self.samples[cell]

    def medians(self) -> dict[Cell, Figures]:
        return {cell: median_of(samples) for cell, samples in self.samples.items()}


def targets_path(folder: Path, contestant: Contestant) -> Path:
    return folder / f"{contestant.name}.targets.lua"


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
