"""Shows how far a command is: a line that changes on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

# Between two lines where nobody watches.
LINE_INTERVAL_SECONDS = 10.0


@contextmanager
def showing_progress(work: str, *, leaves_line: bool = True) -> Iterator[Callable[[int], None]]:
    """Takes the number of rows so far, and shows it on standard error. At the end of the block a
    line remains if it `leaves_line`; none does if the block fails.

    work: what is done with rows, such as `Exporting accounts`.
    """
    started = time.monotonic()
    rows = 0

    def line() -> str:
        seconds = time.monotonic() - started
        return f"{work}: {rows:,} rows in {seconds:.1f} s, {rows / max(seconds, 0.001):,.0f} rows/s"

    with (_terminal if sys.stderr.isatty() else _lines)(line) as show:

        def update(now: int) -> None:
            nonlocal rows
            rows = now
            show()

        yield update
    if leaves_line:
        typer.echo(line(), err=True)


@contextmanager
def _terminal(line: Callable[[], str]) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(line(), total=None)
        yield lambda: progress.update(task, description=line())


@contextmanager
def _lines(line: Callable[[], str]) -> Iterator[Callable[[], None]]:
    shown = time.monotonic()

    def show() -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= LINE_INTERVAL_SECONDS:
            shown = now
            typer.echo(line(), err=True)

    yield show
