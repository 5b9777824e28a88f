"""The results as JSON, with the machine and the versions they come from."""

import json
import os
import platform
import subprocess
import sys
import sysconfig
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contestants.registry import CONTESTANTS, POOL_SIZE
from benchmarks.findings import Finding
from benchmarks.marks import MARKS, OPERATIONS, Measured
from benchmarks.plan import Plan
from benchmarks.postgres import SETTINGS, Postgres

_PACKAGES = (
    "fastapi uvicorn uvloop httptools pydantic sqlalchemy asyncpg flask flask-sqlalchemy "
    "psycopg2-binary gunicorn litestar advanced-alchemy msgspec django djangorestframework "
    "django-ninja psycopg"
)


def document(
    measured: Measured,
    findings: list[Finding],
    plan: Plan,
    postgres: Postgres,
    left_out: dict[str, str],
    command: str,
    load_before: float,
) -> str:
    """All of a run as JSON. `load_before`: the machine's load average when it began."""
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "command": command,
        "machine": machine(load_before),
        "versions": _versions(),
        "postgresql": {"version": postgres.version, "settings": SETTINGS, "by": "unix socket"},
        "plan": asdict(plan) | {"connections_to_postgresql_per_worker": POOL_SIZE},
        "contestants": {c.name: {"title": c.title, "note": c.note} for c in CONTESTANTS},
        "left_out": left_out,
        "marks": [
            {
                "title": mark.title,
                "operation": operation,
                "connections": mark.connections,
                "wanted": mark.wanted_of(operation),
                "at_most": mark.at_most,
                "reached": None if ratio is None else round(ratio, 3),
            }
            for mark in MARKS
            for operation in OPERATIONS
            for ratio in [mark.reached(measured, operation)]
        ],
        "growth": [asdict(one) | {"reached": round(one.reached, 3)} for one in findings],
        "cells": [
            asdict(cell) | {name: round(value, 2) for name, value in asdict(figures).items()}
            for cell, figures in measured.items()
        ],
    }
    return json.dumps(results, indent=1) + "\n"


def machine(load_before: float) -> dict[str, str | int | float]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": load_before,
        "optimized_python": is_optimized(),
    }


def is_optimized() -> bool:
    """Whether this Python was built with profile-guided optimization, which is worth 15 to 25 %.

    The build says so, but for packages of distributions, which leave it out and have it.
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "--enable-optimizations" in arguments or sys.base_prefix == "/usr"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for contestant in CONTESTANTS:
        if contestant.packages:
            found |= _node_versions(contestant.packages)
    return found | program_version("node") | program_version("wrk")


def _node_versions(folder: Path) -> dict[str, str]:
    """Those of the packages that a peer asks for, as far as they are installed."""
    found = {}
    for name in json.loads((folder / "package.json").read_text())["dependencies"]:
        manifest = folder / "node_modules" / name / "package.json"
        if manifest.exists():
            found[name] = json.loads(manifest.read_text())["version"]
    return found


def program_version(program: str) -> dict[str, str]:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    first = (said.stdout or said.stderr).splitlines()[0]
    return {program: first.partition(" [")[0].removeprefix("wrk ").removeprefix("v")}
