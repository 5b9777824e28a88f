"""What PostgreSQL stores: bytes of rows and indexes, WAL of writes, memory of connections.

python -m benchmarks.storage writes them to benchmarks/storage.json, in a minute or two.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.client import Client
from benchmarks.contestants.registry import SATCHEL, Contestant
from benchmarks.data import Amount, account, account_id, item_csv
from benchmarks.harness import targets_path, tell
from benchmarks.plan import Cell
from benchmarks.postgres import SETTINGS, Postgres, running_postgres
from benchmarks.prepare import make_databases
from benchmarks.sample import take_sample
from benchmarks.server import Server, headers_of, running_servers
from benchmarks.targets import make_targets

FILE = Path(__file__).parent / "storage.json"
FULL = (Amount(100_000, 300_000), 1_000)
# How many bytes each table and each of its indexes takes, with what is stored out of line.
_SIZES = """
SELECT c.relname AS name, coalesce(t.relname, c.relname) AS of_table,
  CASE c.relkind WHEN 'i' THEN pg_relation_size(c.oid) ELSE pg_table_size(c.oid) END AS bytes
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
ORDER BY 2, 1
"""
_WISHES = """
INSERT INTO wishes (account_id, item_id, note, created)
SELECT account_id, id, 'For the hall', created FROM items ORDER BY md5(id::text) LIMIT {wishes}
"""
_TABLES = ("accounts", "items", "wishes", "idempotency_keys")
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'satchel' AND datname = '{}'"
_LOG = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes"


def measure_storage(
    postgres: Postgres, amount: Amount, writes: int, folder: Path
) -> dict[str, Any]:
    """amount: the rows that are loaded; there are as many wishes as accounts.

    writes: how many requests of each kind are sent, one after the other.
    """
    contestant = replace(SATCHEL, name="satchel_storage")
    tell(f"loading {amount.accounts:,} accounts and {amount.items:,} items")
    make_databases(postgres, [contestant], amount, folder)
    postgres.execute(_WISHES.format(wishes=amount.accounts), contestant.name)
    with _running(contestant, postgres, folder) as server:
        client = Client(server.port, headers_of(contestant, folder))
        requests = _requests(client, amount)
        tell("sending writes")
        log = {name: _measure_log(postgres, send, writes) for name, send in requests.items()}
        tell("putting load on all connections")
        path = targets_path(folder, contestant)
        make_targets(contestant, client, amount).write(path, contestant)
        take_sample(server, postgres, Cell(contestant.name, "mixed", 32, 1), path, 2)
        backends = postgres.rows(_BACKENDS.format(contestant.name))
        memory = [_own_memory_mb(each["pid"]) for each in backends]
    postgres.execute("VACUUM", contestant.name)
    return {
        "tables": _sizes(postgres, contestant.name),
        "wal_bytes": log,
        "connection_mb": round(sum(memory) / len(memory), 2),
    }


@contextmanager
def _running(contestant: Contestant, postgres: Postgres, folder: Path) -> Iterator[Server]:
    with running_servers([contestant], postgres, 1, folder) as (server,):
        server.wait_until_ready()
        yield server


def _requests(client: Client, amount: Amount) -> dict[str, Callable[[int], None]]:
    """What sends the n-th write of each kind."""
    owner, items = str(account_id(1)), item_csv(amount, ("id",)).decode().split("\n")

    def ask(method: str, path: str, body: object = None, **headers: str) -> None:
        sent = {"Content-Type": "application/json", **headers}
        answer = client.ask(method, path, None if body is None else json.dumps(body), sent)
        if answer.status not in (200, 201, 204):
            raise ValueError(f"{method} {path} answered {answer.status}: {answer.body[:200]!r}")

    def create(number: int, **headers: str) -> None:
        fields = ("email", "username", "dob", "country", "phone_number")
        row = account(number)
        ask("POST", "/accounts", {name: row[name] for name in fields}, **headers)

    def create_item(number: int) -> None:
        words = f"What one says about item {number}"
        link = f"https://example.com/items/{number}.jpg"
        body = {"account_id": owner, "name": f"Item {number}", "price": "9.90"}
        ask("POST", "/items", {**body, "description": words, "image_link": link})

    def change(number: int) -> None:
        path = f"/accounts/{account_id(number % amount.accounts + 1)}"
        ask("PATCH", path, {"username": f"new{number}"})

    return {
        "create an account": lambda n: create(n + 10**6),
        "create an account, with a key": lambda n: create(n + 10**7, **{"Idempotency-Key": str(n)}),
        "change an account": change,
        "create an item": create_item,
        "wish for an item": lambda n: ask("PUT", f"/accounts/{owner}/wishes/{items[n]}", {}),
        "delete an item": lambda n: ask("DELETE", f"/items/{items[-n - 1]}"),
    }


def _measure_log(postgres: Postgres, send: Callable[[int], None], writes: int) -> dict[str, int]:
    """Bytes of WAL of one write: long after a checkpoint, when no pages are in it, and right after
    one, when each page is, the first time that it changes.
    """
    found = {}
    for number, (name, pages) in enumerate({"steady": "off", "after_checkpoint": "on"}.items()):
        postgres.execute(f"ALTER SYSTEM SET full_page_writes = {pages}")
        postgres.execute("SELECT pg_reload_conf()")
        postgres.execute("CHECKPOINT")
        before = postgres.rows(_LOG)[0]["bytes"]
        for n in range(writes):
            send(number * writes + n)
        found[name] = round((postgres.rows(_LOG)[0]["bytes"] - before) / writes)
    return found


def _own_memory_mb(pid: int) -> float:
    """Memory that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _sizes(postgres: Postgres, database: str) -> dict[str, Any]:
    """Bytes a row of the tables that grow with the data."""
    found: dict[str, Any] = {}
    sizes = postgres.rows(_SIZES, database)
    for table in _TABLES:
        rows = postgres.rows(f"SELECT count(*) AS n FROM {table}", database)[0]["n"]
        of_table = [each for each in sizes if each["of_table"] == table]
        own = {each["name"]: round(each["bytes"] / rows, 1) for each in of_table}
        found[table] = {"rows": rows, "row_bytes": own.pop(table), "index_bytes": own}
    return found


def main() -> None:
    load = round(os.getloadavg()[0], 2)
    with (
        tempfile.TemporaryDirectory(prefix="satchel-bench-") as folder,
        running_postgres(Path(folder) / "pg") as postgres,
    ):
        found = measure_storage(postgres, *FULL, Path(folder))
        document = {
            "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "command": "python -m benchmarks.storage",
            "machine": results.machine(load),
            "postgresql": {"version": postgres.version, "settings": SETTINGS},
            **found,
        }
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
