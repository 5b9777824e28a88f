"""A large account: how long it takes to delete one together with all its items."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.client import Client
from benchmarks.contestants.registry import SATCHEL, Satchel, Start
from benchmarks.data import Amount, account_id
from benchmarks.findings import Finding
from benchmarks.harness import tell
from benchmarks.postgres import Postgres
from benchmarks.prepare import make_databases
from benchmarks.server import headers_of, running_servers

# The default of CASCADE_TIMEOUT. The run itself has another, so that it can say how long it took.
_WANTED = 60
_PATIENCE = 1800
_OWNER = 1
_ITEMS = """
INSERT INTO items (id, account_id, created, updated, name, price, description, image_link,
  name_words, description_words)
SELECT lpad(to_hex(n), 32, '0')::uuid, '{owner}', timestamptz '2026-01-01Z' + n * interval '1 s',
  timestamptz '2026-01-01Z' + n * interval '1 s', 'Item ' || n, n % 1000,
  'What one says about item ' || n, 'https://example.com/items/' || n || '.jpg',
  ('item ' || n)::tsvector, ('what one says about item ' || n)::tsvector
FROM generate_series(1, {items}) AS n
"""


class _Patient(Satchel):
    def environment(self, start: Start) -> dict[str, str]:
        return {**super().environment(start), "CASCADE_TIMEOUT": str(_PATIENCE)}


def measure_cascade(postgres: Postgres, items: int, folder: Path) -> Iterator[Finding]:
    """How long it takes with so many items."""
    contestant = _Patient(**{**vars(SATCHEL), "name": "satchel_cascade"})
    tell(f"loading an account with {items:,} items")
    make_databases(postgres, [contestant], Amount(_OWNER, 0), folder)
    postgres.execute(_ITEMS.format(owner=account_id(_OWNER), items=items), contestant.name)
    postgres.execute("VACUUM ANALYZE", contestant.name)
    with running_servers([contestant], postgres, 1, folder) as (server,):
        server.wait_until_ready()
        client = Client(server.port, headers_of(contestant, folder), timeout=_PATIENCE)
        began = time.monotonic()
        status, body = client.send("DELETE", f"/accounts/{account_id(_OWNER)}?cascade=true")
        seconds = time.monotonic() - began
    if status != 204:
        raise ValueError(f"the deletion answered {status}: {body[:200]!r}")
    yield Finding(
        f"an account deleted with its {items:,} items: seconds", seconds, _WANTED, at_most=True
    )
