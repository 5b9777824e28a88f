"""How much a run does: everything, the marks in six minutes, or a glance at each part."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.data import Amount

OPERATIONS = ("get", "list", "filter", "create", "change", "mixed")
TITLES = {
    "get": "get by id",
    "list": "list of 50",
    "filter": "list of 50, one country",
    "create": "create",
    "change": "patch",
    "mixed": "80 % get, 15 % list, 5 % create",
}


@dataclass(frozen=True)
class Cell:
    """One load: who is asked for what, by how many connections, with how many workers."""

    contestant: str
    operation: str
    connections: int
    workers: int


@dataclass(frozen=True)
class Plan:
    amount: Amount
    operations: tuple[str, ...]
    connections: tuple[int, ...]
    workers: tuple[int, ...]
    rounds: int
    seconds: float
    # Each operation of each contestant runs for so long before anything is measured: Node compiles
    # in steps what is called often, and caches fill.
    warm_up_seconds: float
    # The rows of the databases that show how Satchel grows; empty: that is not measured.
    growth: tuple[Amount, ...] = ()
    # The rows of files that are exported and imported.
    rows_of_files: int = 0
    # The items of the account that is deleted together with them.
    cascade: int = 0
    # Who takes part unless they are named: whom the marks compare; all; or all but the heavy ones.
    takes: Literal["compared", "all", "light"] = "all"

    @property
    def loads(self) -> list[tuple[str, int]]:
        """Operation and connections of each load of a round, in order."""
        return [(operation, n) for n in self.connections for operation in self.operations]


_LOADED = Amount(100_000, 300_000)

FULL = Plan(
    _LOADED,
    OPERATIONS,
    connections=(1, 32, 256),
    workers=(1, 2),
    rounds=3,
    seconds=1,
    warm_up_seconds=4,
    growth=(Amount(1_000, 0), Amount(1_000_000, 0)),
    cascade=1_000_000,
    rows_of_files=1_000_000,
)
QUICK = Plan(
    _LOADED,
    ("get", "list", "create", "change"),
    connections=(1, 32),
    workers=(1,),
    rounds=3,
    seconds=0.8,
    warm_up_seconds=4,
    takes="compared",
)
TINY = Plan(
    Amount(1_000, 3_000),
    ("get", "filter", "change", "mixed"),
    connections=(4,),
    workers=(1,),
    rounds=1,
    seconds=0.3,
    warm_up_seconds=0.02,
    growth=(Amount(100, 0), Amount(2_000, 0)),
    cascade=2_000,
    rows_of_files=1_500,
    takes="light",
)
