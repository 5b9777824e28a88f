"""The command `python -m benchmarks`."""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import (
    cascade,
    files,
    growth,
    many_rows,
    marks,
    measure,
    results,
    startup,
    tables,
    wrk,
)
from benchmarks.contestants.registry import CONTESTANTS, SATCHEL
from benchmarks.harness import Harness, tell
from benchmarks.plan import FULL, QUICK, TINY, Plan
from benchmarks.postgres import running_postgres
from benchmarks.prepare import choose_contestants, make_databases


def main() -> int:
    options = _parse()
    if not measure.can_measure():
        tell("The benchmark reads /proc, which only Linux has.")
        return 1
    if wrk.find_wrk() is None:
        tell("wrk is missing: install the package wrk.")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all servers are stopped
    began, load_before = time.monotonic(), round(os.getloadavg()[0], 2)
    _tell_what_distorts(load_before)
    contestants, left_out = choose_contestants(options.only or _taken(options.plan))
    with (
        tempfile.TemporaryDirectory(prefix="satchel-bench-") as folder,
        running_postgres(Path(folder) / "pg") as postgres,
    ):
        tell(
            f"PostgreSQL {postgres.version}; loading {options.plan.amount.accounts:,} accounts each"
        )
        make_databases(postgres, contestants, options.plan.amount, Path(folder))
        harness = Harness(options.plan, postgres, Path(folder))
        harness.run(contestants)
        left_out |= harness.left_out
        measured = harness.medians()
        findings = list(growth.compare_loads(measured))
        if any(cell.contestant == SATCHEL.name for cell in measured):
            findings += startup.measure_memory(postgres, Path(folder))
            findings += startup.measure_imports()
        if options.plan.growth and not options.only:
            findings += growth.measure_growth(postgres, options.plan, Path(folder))
            findings += cascade.measure_cascade(postgres, options.plan.cascade, Path(folder))
            findings += files.measure_exports(postgres, options.plan.rows_of_files, Path(folder))
            findings += files.measure_imports(postgres, options.plan.rows_of_files, Path(folder))
            findings += many_rows.measure_many_rows(postgres, options.plan, Path(folder))
            findings += startup.measure_start(postgres, Path(folder))
        text = results.document(
            measured, findings, options.plan, postgres, left_out, options.command, load_before
        )
    if options.results:
        options.results.write_text(text)
    print(tables.tables(measured))
    print(
        "\nPostgreSQL with fsync off and autovacuum off; CPU and statements are per request;"
        f" each operation was warmed up for {options.plan.warm_up_seconds} s.\n"
    )
    print(tables.marks_table(measured))
    if findings:
        print("\nMarks: Satchel alone")
        print("\n".join(finding.line for finding in findings))
    for cell, figures in measured.items():
        if figures.broken:
            print(f"Broken connections: {figures.broken:.0f} in {cell}")
    for name, reason in left_out.items():
        print(f"Left out: {name}: {reason}")
    print(f"{time.monotonic() - began:.0f} s")
    return 0


def _taken(plan: Plan) -> list[str]:
    if plan.takes == "compared":
        return marks.COMPARED
    return [one.name for one in CONTESTANTS if plan.takes == "all" or not one.heavy]


def _tell_what_distorts(load_before: float) -> None:
    if load_before > 0.5:
        tell(f"Others are at work on this machine (load {load_before}): the figures will be off.")
    if not results.is_optimized():
        tell(
            "This Python was built without optimizations, and is 15 to 25 % slower than others:"
            " use one that was, as in `make bench PYTHON=/usr/bin/python3`."
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    for name, plan, text in (
        ("quick", QUICK, "the marks alone, in six minutes"),
        ("tiny", TINY, "a glance at each part, in seconds; figures mean nothing"),
    ):
        size.add_argument(f"--{name}", dest="plan", action="store_const", const=plan, help=text)
    parser.set_defaults(plan=FULL)
    parser.add_argument("--results", type=Path, help="write all figures to this JSON file")
    parser.add_argument(
        "--command", default=f"python -m benchmarks {' '.join(sys.argv[1:])}".strip()
    )
    names = [contestant.name for contestant in CONTESTANTS]
    parser.add_argument("only", nargs="*", help=f"contestants; all if none: {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f"no such contestant: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
