"""Draws docs/benchmark.png from benchmarks/results.json."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plan import TITLES

ROOT = Path(__file__).parent.parent
_OPERATIONS = ("get", "list", "create", "change")
_SERVER, _POSTGRES, _RATE, _LATENCY = "#1f5a94", "#a9c4de", "#5b8c5a", "#c08a3e"
_OURS = "satchel"

Cells = dict[str, dict[str, Any]]


def draw(results: dict[str, Any]) -> Figure:
    """A column for each operation, with one worker: CPU and throughput with 32 connections, and the
    median latency of a lone client.
    """
    cells = {
        (cell["contestant"], cell["operation"], cell["connections"]): cell
        for cell in results["cells"]
        if cell["workers"] == 1
    }
    # The same line for a contestant in every part, the first at the top.
    names = [name for name in reversed(results["contestants"]) if (name, "get", 32) in cells]
    figure = Figure(figsize=(15, 2.5 + 0.8 * len(names)), layout="constrained")
    for part, panel in zip(figure.subfigures(len(_PANELS), 1), _PANELS, strict=True):
        part.suptitle(panel.title, fontsize="medium")
        row = part.subplots(1, len(_OPERATIONS))
        for axes, operation in zip(row, _OPERATIONS, strict=True):
            keys = {name: (name, operation, panel.connections) for name in names}
            panel.draw(axes, names, {name: cells[k] for name, k in keys.items() if k in cells})
            _tidy(axes, len(names))
            axes.set_title(TITLES[operation], fontweight="bold", fontsize="medium")
        _name(row[0], [(name, results["contestants"][name]["title"]) for name in names])
        if panel is _PANELS[0]:
            row[-1].legend(loc="lower right", frameon=False)
    figure.suptitle("Satchel and its peers, 1 worker")
    figure.supxlabel(_origin(results), fontsize="small")
    return figure


def _origin(results: dict[str, Any]) -> str:
    machine = results["machine"]
    python = f"Python {results['versions']['python']}"
    if not machine["optimized_python"]:
        python += ", built without optimizations"
    return (
        f"{results['date'][:10]} · {results['command']} · {machine['cores']} cores of"
        f" {machine['cpu']} · {python} · PostgreSQL {results['postgresql']['version']}, fsync off"
        f" · each operation warmed up for {results['plan']['warm_up_seconds']} s"
        " · medians; wrk runs on the same machine"
    )


def _draw_cpu(axes: Axes, names: list[str], cells: Cells) -> None:
    lines = [names.index(name) for name in cells]
    server = [cell["server_us"] for cell in cells.values()]
    database = [cell["postgres_us"] for cell in cells.values()]
    axes.barh(lines, server, color=_SERVER, label="server")
    bars = axes.barh(lines, database, left=server, color=_POSTGRES, label="PostgreSQL")
    sums = [f"{own:,.0f} + {other:,.0f}" for own, other in zip(server, database, strict=True)]
    axes.bar_label(bars, sums, padding=3)


def _draw_rate(axes: Axes, names: list[str], cells: Cells) -> None:
    rates = {name: cell["requests_per_second"] for name, cell in cells.items()}
    _draw_bars(axes, names, rates, _RATE, "{:,.0f}")


def _draw_latency(axes: Axes, names: list[str], cells: Cells) -> None:
    medians = {name: cell["p50_ms"] for name, cell in cells.items()}
    _draw_bars(axes, names, medians, _LATENCY, "{:,.2f}")


def _draw_bars(
    axes: Axes, names: list[str], values: dict[str, float], color: str, form: str
) -> None:
    bars = axes.barh([names.index(name) for name in values], list(values.values()), color=color)
    axes.bar_label(bars, [form.format(value) for value in values.values()], padding=3)


def _tidy(axes: Axes, lines: int) -> None:
    axes.margins(x=0.3)
    axes.set_ylim(-0.6, lines - 0.4)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, names: list[tuple[str, str]]) -> None:
    axes.set_yticks(range(len(names)), [title for _, title in names])
    for text, (name, _) in zip(axes.get_yticklabels(), names, strict=True):
        text.set_fontweight("bold" if name == _OURS else "normal")


@dataclass(frozen=True)
class Panel:
    title: str
    connections: int
    draw: Callable[[Axes, list[str], Cells], None]


_PANELS = (
    Panel("CPU of a request in µs, 32 connections: less is better", 32, _draw_cpu),
    Panel("requests a second, 32 connections: more is better", 32, _draw_rate),
    Panel("median latency of a lone client in ms: less is better", 1, _draw_latency),
)


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
