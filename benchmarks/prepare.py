"""Before the first load: who can take part, and a database for each of them."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.contestants.registry import CONTESTANTS, SATCHEL, Contestant, Start
from benchmarks.data import ACCOUNT_COLUMNS, ITEM_COLUMNS, PEER_TABLES, Amount
from benchmarks.postgres import Postgres
from benchmarks.results import program_version
from benchmarks.server import base_environment

_INSTALL_SECONDS = 900


def choose_contestants(names: list[str]) -> tuple[list[Contestant], dict[str, str]]:
    """Those that can be run, and why the others cannot. No names: all of them."""
    chosen, left_out = [], {}
    for contestant in CONTESTANTS:
        if names and contestant.name not in names:
            continue
        if missing := contestant.missing:
            left_out[contestant.name] = f"{', '.join(missing)} is missing"
        elif contestant.packages and (fault := _make_ready(contestant.packages)):
            left_out[contestant.name] = fault
        else:
            chosen.append(contestant)
    return chosen, left_out


def _make_ready(folder: Path) -> str | None:
    """Install exactly what the lock names, unless that is there; what stands in the way."""
    wanted = json.loads((folder / "package.json").read_text())["engines"]["node"]
    if fault := _wrong_node(wanted, program_version("node")["node"]):
        return fault
    installed = folder / "node_modules" / ".package-lock.json"
    if installed.exists() and _packages(installed) == _packages(folder / "package-lock.json"):
        return None
    with subprocess.Popen(
        ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=_INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the compilers that it has started
            return f"npm ci failed: it takes more than {_INSTALL_SECONDS} s"
    return f"npm ci failed: {said.strip()[-300:]}" if process.returncode else None


def _wrong_node(wanted: str, there: str) -> str | None:
    """`wanted`: `>=` and a version."""
    numbers = [[int(n) for n in text.split(".")] for text in (wanted.removeprefix(">="), there)]
    return None if numbers[1] >= numbers[0] else f"it needs Node {wanted}, and this is {there}"


def _packages(lock: Path) -> dict[str, str]:
    """The versions by path, without the project itself and what another system needs."""
    found = json.loads(lock.read_text())["packages"]
    return {
        path: package["version"]
        for path, package in found.items()
        if path and not package.get("optional")
    }


def make_databases(
    postgres: Postgres, contestants: list[Contestant], amount: Amount, folder: Path
) -> None:
    """The same rows for each, in tables of its own making or those of all peers."""
    template: dict[str, str] = {}
    for contestant in contestants:
        name = contestant.name
        if contestant.promises:
            _make_satchels_tables(name, postgres, amount, folder)
        elif contestant.id_type in template:
            postgres.create(name, template[contestant.id_type])
        else:
            postgres.create(name)
            postgres.execute(PEER_TABLES.format(id=contestant.id_type), name)
            postgres.load(name, amount)
            template[contestant.id_type] = name
    postgres.execute("CHECKPOINT")


def _make_satchels_tables(name: str, postgres: Postgres, amount: Amount, folder: Path) -> None:
    """With rows, and with a key that all requests of the load send."""
    postgres.create(name)
    satchel = dataclasses.replace(SATCHEL, name=name)
    _run(satchel, postgres, folder, "migrate")
    key = _run(satchel, postgres, folder, "keys", "create", "--name", "load", "--scope", "write")
    (folder / f"{name}.key").write_text(key)
    accounts = (*ACCOUNT_COLUMNS, "email_key")
    items = (*ITEM_COLUMNS, "name_words", "description_words")
    postgres.load(name, amount, accounts, items)


def _run(satchel: Contestant, postgres: Postgres, folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.commands", *command],
        env={**base_environment(), **satchel.environment(Start(postgres, 0, 1))},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
