"""Draws docs/benchmark.png from benchmarks/results.json."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plan import TITLES

ROOT = Path(__file__).parent.parent
_OPERATIONS = ("get", "list", "create", "change")
_SERVER, _POSTGRES, _RATE = "#1f5a94", "#a9c4de", "#5b8c5a"
_OURS = "satchel"


def draw(results: dict[str, Any]) -> Figure:
    """CPU and throughput of each contestant by operation, with 1 worker and 32 connections."""
    cells = {
        (cell["contestant"], cell["operation"]): cell
        for cell in results["cells"]
        if (cell["connections"], cell["workers"]) == (32, 1)
    }
    # The same line for a contestant in every part, the first at the top.
    names = [name for name in reversed(results["contestants"]) if (name, "get") in cells]
    figure = Figure(figsize=(14, 7), layout="constrained")
    axes = figure.subplots(2, len(_OPERATIONS))
    for column, operation in enumerate(_OPERATIONS):
        found = {name: cells[name, operation] for name in names if (name, operation) in cells}
        _draw_cpu(axes[0][column], names, found)
        _draw_rate(axes[1][column], names, found)
        axes[0][column].set_title(TITLES[operation], fontweight="bold")
    for row in axes:
        _name(row[0], [(name, results["contestants"][name]["title"]) for name in names])
    axes[0][0].legend(loc="lower right", frameon=False)
    machine = results["machine"]
    python = f"Python {results['versions']['python']}"
    if not machine.get("optimized_python", False):
        python += ", built without optimizations"
    figure.suptitle("CPU and throughput of Satchel and its peers: 1 worker, 32 connections")
    figure.supxlabel(
        f"{results['date'][:10]} · {results['command']} · {machine['cores']} cores of"
        f" {machine['cpu']} · {python} · PostgreSQL {results['postgresql']['version']}, fsync off"
        " · medians; wrk runs on the same machine",
        fontsize="small",
    )
    return figure


def _draw_cpu(axes: Axes, names: list[str], cells: dict[str, dict[str, Any]]) -> None:
    lines = [names.index(name) for name in cells]
    server = [cell["server_us"] for cell in cells.values()]
    database = [cell["postgres_us"] for cell in cells.values()]
    axes.barh(lines, server, color=_SERVER, label="server")
    bars = axes.barh(lines, database, left=server, color=_POSTGRES, label="PostgreSQL")
    sums = [f"{own + other:,.0f}" for own, other in zip(server, database, strict=True)]
    axes.bar_label(bars, sums, padding=3)
    _tidy(axes, "CPU per request in µs: less is better", len(names))


def _draw_rate(axes: Axes, names: list[str], cells: dict[str, dict[str, Any]]) -> None:
    lines = [names.index(name) for name in cells]
    rates = [cell["requests_per_second"] for cell in cells.values()]
    bars = axes.barh(lines, rates, color=_RATE)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    _tidy(axes, "requests a second: more is better", len(names))


def _tidy(axes: Axes, label: str, lines: int) -> None:
    axes.set_xlabel(label)
    axes.margins(x=0.25)
    axes.set_ylim(-0.6, lines - 0.4)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, names: list[tuple[str, str]]) -> None:
    axes.set_yticks(range(len(names)), [title for _, title in names])
    for text, (name, _) in zip(axes.get_yticklabels(), names, strict=True):
        text.set_fontweight("bold" if name == _OURS else "normal")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=ROOT / "benchmarks/results.json")
    parser.add_argument("chart", type=Path, nargs="?", default=ROOT / "docs/benchmark.png")
    options = parser.parse_args()
    mpl.use("agg")
    figure = draw(json.loads(options.results.read_text()))
    # No date and no version of the program in the file: the same results, the same bytes.
    figure.savefig(options.chart, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
