"""The results as tables for the terminal."""

from collections.abc import Iterator

from benchmarks.contestants.registry import CONTESTANTS
from benchmarks.marks import MARKS, OPERATIONS, Mark, Measured
from benchmarks.plan import TITLES, Cell

_HEADINGS = ("server µs", "PG µs", "req/s", "p50 ms", "p99 ms", "MB", "statements")


def tables(measured: Measured) -> str:
    """A table for each number of workers and connections, a part for each operation."""
    return "\n".join(line for block in _blocks(measured) for line in block)


def _blocks(measured: Measured) -> Iterator[list[str]]:
    for workers, connections in sorted({(c.workers, c.connections) for c in measured}):
        headings = "".join(f"{heading:>11}" for heading in _HEADINGS)
        yield ["", f"{f'{workers} worker(s), {connections} connection(s)':<32}{headings}"]
        for operation, title in TITLES.items():
            rows = [
                _row(contestant.title, measured, (contestant.name, operation, connections, workers))
                for contestant in CONTESTANTS
            ]
            if found := [row for row in rows if row]:
                yield [title, *found]


def _row(title: str, measured: Measured, cell: tuple[str, str, int, int]) -> str:
    figures = measured.get(Cell(*cell))
    if figures is None:
        return ""
    values = (
        f"{figures.server_us:.0f}",
        f"{figures.postgres_us:.0f}",
        f"{figures.requests_per_second:.0f}",
        f"{figures.p50_ms:.1f}",
        f"{figures.p99_ms:.1f}",
        f"{figures.memory_mb:.0f}",
        f"{figures.statements:.2f}",
    )
    return f"  {title:<30}" + "".join(f"{value:>11}" for value in values)


def marks_table(measured: Measured) -> str:
    """What was reached beside each mark, and whether it holds."""
    headings = "".join(f"{TITLES[operation]:>24}" for operation in OPERATIONS)
    lines = [f"{'Marks: ratios of this run, 1 worker':<56}{headings}"]
    for mark in MARKS:
        parts = [_verdict(mark, measured, operation) for operation in OPERATIONS]
        lines.append(f"{mark.title:<56}" + "".join(f"{part:>24}" for part in parts))
    return "\n".join(lines)


def _verdict(mark: Mark, measured: Measured, operation: str) -> str:
    ratio = mark.reached(measured, operation)
    if ratio is None:
        return "not measured"
    sign = "<=" if mark.at_most else ">="
    missed = "" if mark.holds(ratio, operation) else " MISSED"
    return f"{ratio:.2f} ({sign} {mark.wanted_of(operation)}){missed}"
