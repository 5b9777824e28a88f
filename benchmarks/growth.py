"""Growth: what more rows, connections and workers do to Satchel."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from benchmarks.contestants.registry import SATCHEL
from benchmarks.data import Amount, account_id
from benchmarks.findings import Finding
from benchmarks.harness import tell
from benchmarks.marks import Measured
from benchmarks.plan import Cell, Plan
from benchmarks.postgres import Postgres
from benchmarks.prepare import make_databases
from benchmarks.sample import Figures, median_of, take_sample
from benchmarks.server import Server, running_servers
from benchmarks.targets import PAGE_SIZE, Targets

_CONNECTIONS = 32


def compare_loads(measured: Measured) -> Iterator[Finding]:
    """More connections and more workers, from the cells of the run that have both."""
    pairs = (
        ("get, 256 connections / 32: requests a second", 1.0, (256, 1), (32, 1)),
        ("get, 2 workers / 1, 256 connections: requests a second", 1.8, (256, 2), (256, 1)),
    )
    for title, wanted, above, below in pairs:
        found = [measured.get(Cell(SATCHEL.name, "get", *load)) for load in (above, below)]
        if found[0] and found[1]:
            ratio = found[0].requests_per_second / found[1].requests_per_second
            yield Finding(title, ratio, wanted, at_most=False)


def measure_growth(postgres: Postgres, plan: Plan, folder: Path) -> Iterator[Finding]:
    """Reads among few rows and among many; CPU is that of server and PostgreSQL together."""
    few, many = (
        dataclasses.replace(SATCHEL, name=f"satchel_{amount.accounts}") for amount in plan.growth
    )
    for contestant, amount in zip((few, many), plan.growth, strict=True):
        tell(f"loading {amount.accounts:,} accounts")
        make_databases(postgres, [contestant], amount, folder)
    with running_servers([few, many], postgres, 1, folder) as servers:
        for server in servers:
            server.wait_until_ready()
        few_rows, many_rows = plan.growth
        page, depth = _deep_page(servers[1], many_rows)
        begin = f"/accounts?limit={PAGE_SIZE}"
        loads = {
            "few": (servers[0], "get", _gets(few_rows)),
            "many": (servers[1], "get", _gets(many_rows)),
            "first": (servers[1], "list", [begin]),
            "deep": (servers[1], "list", [f"{begin}&cursor={page}"]),
        }
        samples: dict[str, list[Figures]] = {name: [] for name in loads}
        for _ in range(plan.rounds):
            for name, (server, operation, paths) in loads.items():
                path = folder / f"growth-{name}.lua"
                Targets([], {"get": [], "list": [], "filter": []} | {operation: paths}).write(
                    path, server.contestant
                )
                cell = Cell(server.contestant.name, operation, _CONNECTIONS, workers=1)
                samples[name].append(take_sample(server, postgres, cell, path, plan.seconds))
    cost = {name: _cost(median_of(figures)) for name, figures in samples.items()}
    yield Finding(
        f"page {depth:,} of {many_rows.accounts:,} accounts / page 1: CPU",
        cost["deep"] / cost["first"],
        1.5,
        at_most=True,
    )
    yield Finding(
        f"get among {many_rows.accounts:,} accounts / {few_rows.accounts:,}: CPU",
        cost["many"] / cost["few"],
        1.2,
        at_most=True,
    )


def _cost(figures: Figures) -> float:
    return figures.server_us + figures.postgres_us


def _gets(amount: Amount) -> list[str]:
    step = max(1, amount.accounts // 10_000)
    return [f"/accounts/{account_id(n)}" for n in range(1, amount.accounts + 1, step)]


def _deep_page(server: Server, amount: Amount) -> tuple[str, int]:
    """The cursor of a page in the middle of the list, and the number of that page."""
    page = server.client.get_json("/accounts?limit=200")
    rows = 200
    while rows < amount.accounts // 2:
        page = server.client.get_json(f"/accounts?limit=200&cursor={page['next_cursor']}")
        rows += 200
    return page["next_cursor"], rows // PAGE_SIZE + 1
