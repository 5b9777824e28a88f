"""Files of many rows: how fast they are written and read, beside psql's `\\copy`."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from app.postgres.backups import find_clients
from benchmarks import measure
from benchmarks.contestants.registry import SATCHEL, Contestant, Start
from benchmarks.data import ACCOUNT_COLUMNS, ITEM_COLUMNS, Amount, account_csv, item_csv
from benchmarks.findings import Finding
from benchmarks.harness import tell
from benchmarks.postgres import Postgres
from benchmarks.prepare import make_databases
from benchmarks.server import Server, base_environment, headers_of, running_servers

_ROUNDS = 3  # of exports; an import takes a minute
_PATIENCE = 1800
_ROWS_A_SECOND_AND_CORE = 15_000
_PIECE = 2**20
_DERIVED = {"accounts": ("email_key",), "items": ("name_words", "description_words")}


def measure_exports(postgres: Postgres, rows: int, folder: Path) -> Iterator[Finding]:
    """Over HTTP, by turns with `\\copy` to CSV."""
    contestant = replace(SATCHEL, name="satchel_exports")
    tell(f"loading {rows:,} accounts to export")
    make_databases(postgres, [contestant], Amount(rows, 0), folder)
    columns = ", ".join(ACCOUNT_COLUMNS)
    copying = f"\\copy (SELECT {columns} FROM accounts ORDER BY created) TO /dev/null CSV HEADER"
    seconds: dict[str, list[float]] = {"copy": [], "csv": [], "ndjson": []}
    with running_servers([contestant], postgres, 1, folder) as (server,):
        server.wait_until_ready()
        _export(server, folder, "csv")
        growth = measure.Growth(measure.trees(server.pid)[0])
        for _ in range(_ROUNDS):
            seconds["copy"].append(_psql(postgres, contestant.name, copying))
            for text_format in ("csv", "ndjson"):
                seconds[text_format].append(_export(server, folder, text_format))
                growth.look()
    of_all = f"export of {rows:,} accounts"
    copied = median(seconds["copy"])
    for text_format in ("csv", "ndjson"):
        speed = copied / median(seconds[text_format])
        yield Finding(f"{of_all}, {text_format} / \\copy to CSV: speed", speed, 0.5, at_most=False)
    yield Finding(f"{of_all}: growth of the server in MB", growth.megabytes, 50, at_most=True)


def measure_imports(postgres: Postgres, rows: int, folder: Path) -> Iterator[Finding]:
    """By the command, beside `\\copy` into the same tables of another database."""
    ours, theirs = (replace(SATCHEL, name=f"satchel_{each}") for each in ("imports", "copies"))
    make_databases(postgres, [ours, theirs], Amount(0, 0), folder)
    makers = {"accounts": (ACCOUNT_COLUMNS, account_csv), "items": (ITEM_COLUMNS, item_csv)}
    for resource, (columns, make) in makers.items():
        tell(f"importing {rows:,} {resource}")
        stored = (*columns, *_DERIVED[resource])
        (folder / "copied.csv").write_bytes(make(Amount(rows, rows), stored))
        header = ",".join(columns).encode()
        (folder / "imported.csv").write_bytes(
            header + b"\n" + make(Amount(rows, rows), columns) + b"\n"
        )
        (folder / "few.csv").write_bytes(header + b"\n")
        copying = f"\\copy {resource} ({', '.join(stored)}) FROM copied.csv CSV"
        copied = _psql(postgres, theirs.name, copying, folder)
        _, few = _import(ours, postgres, folder, resource, "few.csv")
        imported, many = _import(ours, postgres, folder, resource, "imported.csv")
        title = f"import of {rows:,} {resource}"
        speed = copied / imported
        tell(f"{rows / imported:,.0f} rows a second, {speed:.2f} of \\copy")
        if resource == "accounts":
            # Email addresses and phone numbers take their time, however fast the disk is.
            enough = _ROWS_A_SECOND_AND_CORE * (os.cpu_count() or 1) * copied / rows
            wanted = round(min(0.15, enough), 2)
            yield Finding(f"{title}: growth in MB", many - few, 100, at_most=True)
        else:
            wanted = 0.3
        yield Finding(f"{title} / \\copy: speed", speed, wanted, at_most=False)


def _psql(postgres: Postgres, database: str, command: str, folder: Path | None = None) -> float:
    """How many seconds a command of psql takes."""
    major = int(postgres.version.split(".")[0])
    program = find_clients(None, major) / "psql"
    began = time.monotonic()
    subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", command],
        env={**base_environment(), **postgres.environment_of(database)},
        cwd=folder,
        check=True,
        timeout=_PATIENCE,
    )
    return time.monotonic() - began


def _export(server: Server, folder: Path, text_format: str) -> float:
    """How many seconds an export takes whose client does nothing with it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)
    path = f"/accounts:export?format={text_format}&sort=created"
    began = time.monotonic()
    try:
        connection.request("GET", path, headers=headers_of(server.contestant, folder))
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"{path} answered {answer.status}: {answer.read(200)!r}")
        while answer.read(_PIECE):
            pass
    finally:
        connection.close()
    return time.monotonic() - began


def _import(
    contestant: Contestant, postgres: Postgres, folder: Path, resource: str, file: str
) -> tuple[float, float]:
    """How many seconds an import takes, and the most memory of its processes in MB."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli.commands", "import", resource, file, "--keep-ids"],
        env={**base_environment(), **contestant.environment(Start(postgres, 0, 1))},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        most = 0.0
        while process.poll() is None:
            most = max(most, measure.memory_mb(measure.trees(process.pid)[0]))
            time.sleep(0.1)
        seconds = time.monotonic() - began
        assert process.stderr is not None
        if process.returncode:
            raise ValueError(f"the import failed: {process.stderr.read()[-500:]!r}")
    return seconds, most
