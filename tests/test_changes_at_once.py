"""Many changes of few rows at once, while others lock the rows and the database loses connections.

A trigger keeps every version that was committed, so that each answer can be compared with it.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.postgres import connection_queue
from app.postgres.background import running
from tests.applications import client_of, running_app
from tests.catalog import Entry, Row, every_resource
from tests.databases import LIMITS, execute
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

CLIENTS = 32
ROWS = 20
CHANGES = 40  # of each client


@dataclass
class Sent:
    """A change that a client sent, and its answer."""

    row_id: str
    body: Row
    version: int | None
    answer: httpx.Response


class Stress:
    """Clients that change the rows of one resource, and what came of it."""

    def __init__(self, entry: Entry, client: httpx.AsyncClient, rows: list[Row]) -> None:
        self.entry = entry
        self.client = client
        self.ids = [row["id"] for row in rows]
        self.known: dict[str, int] = dict.fromkeys(self.ids, 1)
        self.sent: list[Sent] = []
        self.random = random.Random(7)
        key = entry.free_text
        others = entry.changes.keys() - {key}
        # Forms of a change; the fields besides the text may happen to have their values already.
        self.forms = [form for form in ({key}, others, {key, *others}) if form]

    def has_sent(self, changes: int) -> bool:
        return len(self.sent) >= changes

    async def run(self, number: int) -> None:
        """One client: 40 changes, one after another."""
        for each in range(CHANGES):
            number_of_change = number * CHANGES + each
            form = self.forms[number_of_change % len(self.forms)]
            body = {name: self.value(name, number_of_change) for name in form}
            row_id = self.random.choice(self.ids)
            version = self.known[row_id] if self.random.random() < 0.4 else None
            headers = {} if version is None else {"If-Match": f'"{version}"'}
            answer = await self.client.patch(
                f"{self.entry.path}/{row_id}", json=body, headers=headers
            )
            self.sent.append(Sent(row_id, body, version, answer))
            if "etag" in answer.headers:
                self.known[row_id] = int(answer.headers["etag"].strip('"'))

    def value(self, name: str, number: int) -> Any:
        return f"c{number}" if name == self.entry.free_text else self.entry.body(number)[name]


async def hold_rows(engine: AsyncEngine, table: str, key: str, ids: list[str]) -> None:
    """Lock one row after another for a while, and change every second one."""
    chance = random.Random(8)
    for number in range(10**6):
        async with engine.begin() as connection:
            row = {"id": chance.choice(ids), "value": f"other {number}"}
            lock = text(f"SELECT id FROM {table} WHERE id = :id FOR UPDATE")
            await connection.execute(lock, {"id": row["id"]})
            await asyncio.sleep(chance.choice([0, 0.02, 0.5]))
            if number % 2:
                change = f"UPDATE {table} SET {key} = :value, version = version + 1 WHERE id = :id"
                await connection.execute(text(change), row)
        await asyncio.sleep(0.02)


async def end_connections(engine: AsyncEngine, stress: Stress) -> None:
    """End two of the service's connections after every hundred answers."""
    statement = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'satchel'"
        " AND datname = current_database() ORDER BY random() LIMIT 2"
    )
    for answers in range(100, CLIENTS * CHANGES, 100):
        await until(partial(stress.has_sent, answers))
        async with engine.connect() as connection:
            await connection.execute(statement)


async def is_gone(client: httpx.AsyncClient, path: str) -> bool:
    """Whether it is deleted, now or by an earlier attempt."""
    return (await client.delete(path)).status_code in (204, 404)


@every_resource
async def test_every_answer_is_true_and_no_change_is_lost(
    entry: Entry, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", PATIENCE)
    table, key = entry.resource.table.name, entry.free_text
    await execute(
        database,
        "CREATE TABLE kept (id uuid, version int, body jsonb)",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO kept VALUES (NEW.id, NEW.version, to_jsonb(NEW)); RETURN NEW; END $$",
        f"CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    limits = {**dict.fromkeys(LIMITS, 0), "lock_timeout": 0.2}
    # Those that hold rows need not run again.
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="READ COMMITTED")
    async with running_app(database, **limits) as app, client_of(app) as client:
        sizes: list[int] = []
        app.state.statements.on_update = sizes.append
        owners = {name: (await one.create(client))["id"] for name, one in entry.parents().items()}
        stress = Stress(entry, client, [await entry.create(client, **owners) for _ in range(ROWS)])
        deleted = stress.ids[:2]
        async with (
            running(hold_rows(engine, table, key, stress.ids)),
            running(end_connections(engine, stress)),
        ):
            clients = [asyncio.create_task(stress.run(number)) for number in range(CLIENTS)]
            await until(lambda: len(stress.sent) > CLIENTS * CHANGES / 2)
            for row_id in deleted:
                await until(partial(is_gone, client, f"{entry.path}/{row_id}"))
            await asyncio.gather(*clients)
        rows = [(await client.get(f"{entry.path}/{row_id}")) for row_id in stress.ids]
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT id, version, body FROM kept"))).all()
    kept = {(str(row.id), row.version): row.body for row in found}
    assert len(kept) == len(found)  # no version twice
    last = Counter(row_id for row_id, _ in kept)
    assert all((row_id, version + 1) in kept for row_id in last for version in range(last[row_id]))
    for row_id, row in zip(stress.ids, rows, strict=True):
        assert row.status_code == (404 if row_id in deleted else 200)
        assert row_id in deleted or row.json()["version"] == last[row_id]
    written = Counter(
        (row_id, body[key])
        for (row_id, version), body in kept.items()
        if version > 1 and kept[row_id, version - 1][key] != body[key]
    )
    assert len(stress.sent) == CLIENTS * CHANGES
    for sent in stress.sent:
        check(sent, kept, written, last, key, set(deleted))
    assert max(sizes) > 5  # else nothing was shared
    statuses = Counter(sent.answer.status_code for sent in stress.sent)
    assert {200, 404, 412} <= statuses.keys() <= {200, 404, 412, 503}


def check(
    sent: Sent,
    kept: dict[tuple[str, int], Row],
    written: Counter[tuple[str, str]],
    last: Counter[str],
    key: str,
    deleted: set[str],
) -> None:
    """Compare an answer with what was committed."""
    answer, status = sent.answer.json(), sent.answer.status_code
    times = written[sent.row_id, sent.body[key]] if key in sent.body else None
    if status == 200:
        assert times in (1, None)
        assert kept[sent.row_id, answer["version"]][key] == answer[key]
        if times:
            assert {**answer, **sent.body} == answer
        # Otherwise the row may have had these values, and others when it was read for the answer.
        if times and sent.version is not None:
            assert answer["version"] == sent.version + 1
    elif status == 412:
        assert times in (0, None)
        assert sent.version is not None
        current = int(sent.answer.headers["etag"].strip('"'))
        assert sent.version < current <= last[sent.row_id]
    elif status == 404:
        assert times in (0, None)
        assert sent.row_id in deleted
    elif answer["code"] == "overloaded":
        assert times in (0, None)
    else:
        assert (status, answer["code"]) == (503, "database_unavailable")
        assert times in (0, 1, None)
