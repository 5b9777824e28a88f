"""How far a node, a cluster and shards carry: the tables of docs/scale.md.

python -m benchmarks.scale writes them anew, from results.json and storage.json.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import storage
from benchmarks.contestants.registry import POOL_SIZE, SATCHEL

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
RESULTS = Path(__file__).parent / "results.json"

# Accounts, and requests a second.
STEPS = ((10**6, 1_000), (10**7, 5_000), (10**8, 20_000), (10**9, 100_000))
ITEMS, WISHES = 3, 1  # of an account
LISTS, CREATES = 0.15, 0.05  # of the mix that `make bench` measures; the rest are gets
BUSY = 0.6  # of the time of a processor
CONNECTIONS = POOL_SIZE + 2 + 1  # of a worker; MAX_EXPORTS and the watchdog's, too
# A node of PostgreSQL: its cores, and what of the rest the service may use.
CORES, MEMORY_GB, DISK_TB, WAL_MB = 32, 192, 8, 200
COPIES = 3

# An index that begins with one of these grows at its end. Others change in all places.
_IN_ORDER = ("created", "updated", "expires")
_PREFIX = re.compile("^ix_(accounts|items|wishes|idempotency_keys)_")


@dataclass(frozen=True)
class Costs:
    """Unit costs: CPU of a request, and bytes of an account with what belongs to it."""

    server_us: float
    postgres_us: float
    lists_us: float  # of postgres_us
    worker_mb: float
    connection_mb: float
    row_bytes: float
    index_bytes: float
    scattered_bytes: float  # of index_bytes
    key_bytes: float
    wal_bytes: float
    wal_bytes_after_checkpoint: float


def costs_of(results: Mapping[str, Any], stored: Mapping[str, Any]) -> Costs:
    cells = {
        cell["operation"]: cell
        for cell in results["cells"]
        if (cell["contestant"], cell["connections"], cell["workers"]) == (SATCHEL.name, 32, 1)
    }
    tables, wal = stored["tables"], stored["wal_bytes"]["create an account, with a key"]
    owned = [*[tables["accounts"]], *[tables["items"]] * ITEMS, *[tables["wishes"]] * WISHES]
    indexes = [entry for table in owned for entry in table["index_bytes"].items()]
    keys = tables["idempotency_keys"]
    return Costs(
        server_us=cells["mixed"]["server_us"],
        postgres_us=cells["mixed"]["postgres_us"],
        lists_us=cells["list"]["postgres_us"] * LISTS,
        worker_mb=cells["mixed"]["memory_mb"],
        connection_mb=stored["connection_mb"],
        row_bytes=sum(table["row_bytes"] for table in owned),
        index_bytes=sum(size for _, size in indexes),
        scattered_bytes=sum(size for name, size in indexes if is_scattered(name)),
        key_bytes=keys["row_bytes"] + sum(keys["index_bytes"].values()),
        wal_bytes=wal["steady"],
        wal_bytes_after_checkpoint=wal["after_checkpoint"],
    )


def is_scattered(index: str) -> bool:
    """Whether new entries of an index go to all places of it."""
    in_order = index in ("pk_accounts", "pk_items") or _PREFIX.sub("", index).startswith(_IN_ORDER)
    return not in_order


def unit_costs(costs: Costs) -> Iterator[tuple[str, str]]:
    yield "CPU of Satchel, a request", f"{costs.server_us:.0f} µs"
    yield "CPU of PostgreSQL, a request", f"{costs.postgres_us:.0f} µs"
    yield "of this, for lists", f"{costs.lists_us:.0f} µs"
    yield "memory of a worker", f"{costs.worker_mb:.0f} MB"
    yield "memory of a connection, in PostgreSQL", f"{costs.connection_mb:.1f} MB"
    yield (
        f"an account with {ITEMS} items and {WISHES} wish, in tables",
        f"{costs.row_bytes:,.0f} bytes",
    )
    yield "the same, in indexes", f"{costs.index_bytes:,.0f} bytes"
    yield "of this, in indexes that change in all places", f"{costs.scattered_bytes:,.0f} bytes"
    yield "an idempotency key with its response", f"{costs.key_bytes:,.0f} bytes"
    yield "WAL of a create with a key, long after a checkpoint", f"{costs.wal_bytes:,.0f} bytes"
    yield "WAL of the same, right after one", f"{costs.wal_bytes_after_checkpoint:,.0f} bytes"


def limits(costs: Costs) -> Iterator[tuple[str, float, str]]:
    """What of a node is used up first by rows or requests, how many it carries, and of what."""
    yield "memory for indexes", MEMORY_GB * 1e9 / costs.scattered_bytes, "accounts"
    yield "disk", DISK_TB * 1e12 / (costs.row_bytes + costs.index_bytes), "accounts"
    yield "CPU of PostgreSQL", CORES * BUSY * 1e6 / costs.postgres_us, "requests a second"
    yield "WAL", WAL_MB * 1e6 / (CREATES * costs.wal_bytes), "requests a second"


def shares(costs: Costs, accounts: int, rate: int) -> dict[str, float]:
    """How many nodes each limit asks for."""
    wanted = {"accounts": accounts, "requests a second": rate}
    return {name: wanted[unit] / carried for name, carried, unit in limits(costs)}


def needs(costs: Costs, accounts: int, rate: int) -> dict[str, str]:
    """What a service of this size needs."""
    keys = rate * CREATES * 86_400
    disk = accounts * (costs.row_bytes + costs.index_bytes) + keys * costs.key_bytes
    workers = math.ceil(rate * costs.server_us / 1e6 / BUSY)
    share = shares(costs, accounts, rate)
    first = max(share, key=lambda name: share[name])
    shards = max(1, math.ceil(share[first]))
    without_lists = costs.postgres_us - costs.lists_us
    return {
        "rows of accounts, items and wishes": count(accounts * (1 + ITEMS + WISHES)),
        "idempotency keys of 24 hours": count(keys),
        "disk, one copy": size(disk),
        f"disk, {COPIES} copies": size(disk * COPIES),
        "indexes": size(accounts * costs.index_bytes),
        "of these in memory": size(accounts * costs.scattered_bytes),
        "workers of Satchel, a core each": count(workers),
        "memory of the workers": size(workers * costs.worker_mb * 1e6),
        "cores of PostgreSQL": count(rate * costs.postgres_us / 1e6 / BUSY),
        "of these on the primary, if replicas have the lists": count(
            rate * without_lists / 1e6 / BUSY
        ),
        "connections without a pooler": count(workers * CONNECTIONS),
        "their memory": size(workers * CONNECTIONS * costs.connection_mb * 1e6),
        "WAL a second": size(rate * CREATES * costs.wal_bytes),
        "WAL a day, for an archive": size(rate * CREATES * costs.wal_bytes * 86_400),
        "shards": str(shards),
        f"nodes of PostgreSQL, {COPIES} a shard": str(shards * COPIES),
        "closest to its limit": first,
        "so much of one node": f"{share[first]:.0%}",
    }


def count(number: float) -> str:
    """Two digits, as people say it."""
    rounded = float(f"{max(number, 1):.2g}") if number >= 10 else math.ceil(number)
    for unit, name in ((10**9, " billion"), (10**6, " million")):
        if rounded >= unit:
            return f"{rounded / unit:g}{name}"
    return f"{rounded:,.0f}"


def size(number: float) -> str:
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= unit:
            return f"{float(f'{number / unit:.2g}'):g} {name}"
    return f"{float(f'{number / 1e3:.2g}'):g} kB"


def blocks(results: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, list[str]]:
    """The tables, by name."""
    costs = costs_of(results, stored)
    steps = [needs(costs, *step) for step in STEPS]
    titles = [f"{count(accounts)} accounts, {rate:,}/s" for accounts, rate in STEPS]
    return {
        "units": [
            "| unit | cost | |",
            "| --- | --- | --- |",
            *(f"| {what} | {cost} | measured |" for what, cost in unit_costs(costs)),
        ],
        "limits": [
            "| what is used up | one node carries | |",
            "| --- | --- | --- |",
            *(f"| {name} | {count(n)} {unit} | computed |" for name, n, unit in limits(costs)),
        ],
        "steps": [
            f"| computed | {' | '.join(titles)} |",
            f"| --- |{' --- |' * len(steps)}",
            *(f"| {name} | {' | '.join(step[name] for step in steps)} |" for name in steps[0]),
        ],
    }


def rewritten(page: str, tables: Mapping[str, list[str]]) -> str:
    """The page with these tables between their marks."""
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + begin + "\n".join(["", *lines, "", end]) + after
    return page


def inputs() -> tuple[dict[str, Any], dict[str, Any]]:
    return json.loads(RESULTS.read_text()), json.loads(storage.FILE.read_text())


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(), blocks(*inputs())))
