"""Rows that many requests change in one statement; each request keeps its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, Engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from app.accounts.service import ACCOUNTS
from app.postgres import coalescing
from app.postgres.retries import retry
from app.postgres.sessions import request_session
from app.resources.preconditions import UNCONDITIONAL
from app.resources.writes import update
from tests.applications import client_of, running_app
from tests.catalog import Entry, Row, entry_of, every_resource
from tests.databases import LIMITS, execute
from tests.environment import assert_ran
from tests.factories import create_account
from tests.locks import held_up
from tests.responses import assert_problem
from tests.waiting import come

pytestmark = pytest.mark.usefixtures("none_is_slow")

ENTRY = entry_of("/accounts")


@pytest.fixture
def app(committed_app: FastAPI) -> FastAPI:
    return committed_app


@pytest.fixture
def sizes(app: FastAPI) -> list[int]:
    """How many rows each statement changed, or tried to."""
    sizes: list[int] = []
    app.state.statements.on_update = sizes.append
    return sizes


@pytest.fixture
def ran() -> Iterator[list[str]]:
    """The statements that update, as they run."""
    seen: list[str] = []

    def record(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "UPDATE" in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    yield seen
    event.remove(Engine, "before_cursor_execute", record)


def updates(ran: list[str]) -> list[str]:
    return [one for one in ran if "UPDATE accounts" in one]


@asynccontextmanager
async def transaction(database: URL) -> AsyncIterator[AsyncConnection]:
    """Somebody else's, which is committed at its end."""
    engine = create_async_engine(database, isolation_level="READ COMMITTED")
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def create_all(entry: Entry, client: httpx.AsyncClient, count: int) -> list[Row]:
    owners = {name: (await parent.create(client))["id"] for name, parent in entry.parents().items()}
    return [await entry.create(client, **owners) for _ in range(count)]


async def lock(connection: AsyncConnection, entry: Entry, row_id: str) -> None:
    table = entry.resource.table.name
    statement = text(f"SELECT id FROM {table} WHERE id = :id FOR UPDATE")
    await connection.execute(statement, {"id": row_id})


def change(entry: Entry, number: int) -> Row:
    """One that differs from all others."""
    return {**entry.changes, entry.free_text: f"changed {number}"}


@every_resource
class TestSharing:
    async def test_changes_of_one_form_share_a_statement(
        self, entry: Entry, client: httpx.AsyncClient, sizes: list[int], ran: list[str]
    ) -> None:
        rows = await create_all(entry, client, 20)
        ran.clear()
        answers = await asyncio.gather(
            *(
                client.patch(f"{entry.path}/{row['id']}", json=change(entry, number))
                for number, row in enumerate(rows)
            )
        )
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            assert answer.status_code == 200
            changed = {**row, **change(entry, number), "version": 2}
            assert answer.json() == {**changed, "updated": answer.json()["updated"]}
            assert answer.json()["updated"] > row["updated"]
            assert answer.headers["etag"] == '"2"'
            assert (await client.get(f"{entry.path}/{row['id']}")).json() == answer.json()
        assert sizes == [1, 19]  # the first came alone
        assert_ran(ran, 2)

    async def test_each_has_its_own_condition_and_outcome(
        self,
        entry: Entry,
        app: FastAPI,
        client: httpx.AsyncClient,
        sizes: list[int],
        ran: list[str],
    ) -> None:
        rows = await create_all(entry, client, 6)
        first, met, stale, same, unknown, free = (f"{entry.path}/{row['id']}" for row in rows)
        await client.delete(unknown)
        assert (await client.patch(same, json=change(entry, 3))).json()["version"] == 2
        sizes.clear()
        ran.clear()
        read: list[int] = []
        app.state.statements.on_read = read.append
        answers = await asyncio.gather(
            client.patch(first, json=change(entry, 0)),
            client.patch(met, json=change(entry, 1), headers={"If-Match": '"1"'}),
            client.patch(stale, json=change(entry, 2), headers={"If-Match": '"7"'}),
            client.patch(same, json=change(entry, 3)),
            client.patch(unknown, json=change(entry, 4)),
            client.patch(free, json={**change(entry, 5), "version": 1}),
        )
        assert sizes == [1, 5]
        assert_ran(ran, 2)
        assert read == [3]  # the rows that were not written, to find out why
        assert [answer.status_code for answer in answers] == [200, 200, 412, 200, 404, 200]
        assert [answer.headers.get("etag") for answer in answers] == [
            *('"2"', '"2"', '"1"', '"2"', None, '"2"')
        ]
        assert answers[3].json() == (await client.get(same)).json()
        assert answers[3].json()["version"] == 2  # not written again
        assert (await client.get(stale)).json() == rows[2]

    async def test_changes_of_one_row_follow_one_another(
        self, entry: Entry, client: httpx.AsyncClient, sizes: list[int]
    ) -> None:
        one, other = (f"{entry.path}/{row['id']}" for row in await create_all(entry, client, 2))
        answers = await asyncio.gather(
            *(client.patch(one, json=change(entry, number)) for number in range(10)),
            client.patch(other, json=change(entry, 10)),
        )
        assert [answer.status_code for answer in answers] == [200] * 11
        assert sorted(answer.json()["version"] for answer in answers[:10]) == list(range(2, 12))
        for number, answer in enumerate(answers):
            assert answer.json()[entry.free_text] == f"changed {number}"
        assert (await client.get(other)).json()["version"] == 2
        assert sum(sizes) == 11

    async def test_what_other_rows_can_refuse_is_written_alone(
        self, entry: Entry, client: httpx.AsyncClient, sizes: list[int]
    ) -> None:
        rows = await create_all(entry, client, 3)
        bodies = [await entry.valid_body(client) for _ in rows]
        answers = await asyncio.gather(
            *(
                client.put(f"{entry.path}/{row['id']}", json=body)
                for row, body in zip(rows, bodies, strict=True)
            ),
            *(
                client.patch(f"{entry.path}/{row['id']}", json={name: bodies[0][name]})
                for row in rows
                for name in entry.parents()
            ),
        )
        assert {answer.status_code for answer in answers} == {200}
        assert sizes == []

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"If-Match": '"1", "2"'}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-None-Match": '"1"'}, 412),
            ({"If-None-Match": '"2"'}, 200),
            ({"If-None-Match": "*"}, 412),
        ],
    )
    async def test_so_is_what_has_another_condition_than_one_version(
        self,
        entry: Entry,
        client: httpx.AsyncClient,
        sizes: list[int],
        headers: dict[str, str],
        status: int,
    ) -> None:
        rows = await create_all(entry, client, 3)
        answers = await asyncio.gather(
            *(
                client.patch(f"{entry.path}/{row['id']}", json=entry.changes, headers=headers)
                for row in rows
            )
        )
        assert [answer.status_code for answer in answers] == [status] * 3
        assert sizes == []


CHANGED = "UPDATE {table} SET version = version + 1, {text} = 'other' WHERE id = :id"
DELETED = "DELETE FROM {table} WHERE id = :id"
LEFT = "SELECT id FROM {table} WHERE id = :id"
MET = {"If-Match": '"1"'}


@every_resource
@pytest.mark.parametrize(
    ("meanwhile", "headers", "status", "tag"),
    [
        (CHANGED, {}, 200, '"3"'),
        (CHANGED, MET, 412, '"2"'),
        (DELETED, {}, 404, None),
        (DELETED, MET, 404, None),
        (LEFT, {}, 200, '"2"'),
        (LEFT, MET, 200, '"2"'),
        (None, {}, 200, '"2"'),  # it has written the same values
        (None, MET, 412, '"2"'),
    ],
)
async def test_what_another_transaction_did_while_the_statement_waited_for_it_counts(
    entry: Entry,
    client: httpx.AsyncClient,
    database: URL,
    sizes: list[int],
    meanwhile: str | None,
    headers: dict[str, str],
    status: int,
    tag: str | None,
) -> None:
    """PostgreSQL finds the rows in a snapshot that is older than the locks."""
    rows = await create_all(entry, client, 4)
    first, locked, *free = (f"{entry.path}/{row['id']}" for row in rows)
    mine, row_id = change(entry, 1), rows[1]["id"]
    async with transaction(database) as other:
        await lock(other, entry, row_id)
        changes = [
            client.patch(first, json=change(entry, 0)),
            client.patch(locked, json=mine, headers=headers),
            *(client.patch(path, json=change(entry, 2), headers=MET) for path in free),
        ]
        tasks = [asyncio.create_task(one) for one in changes]
        await held_up(database)
        if meanwhile is None:
            whole = {**rows[1], **mine}
            values = {name: entry.parse(whole)[name] for name in mine} | entry.stored(whole)
            await update(AsyncSession(other), entry.resource, UUID(row_id), values, UNCONDITIONAL)
        else:
            names = {"table": entry.resource.table.name, "text": entry.free_text}
            await other.execute(text(meanwhile.format(**names)), {"id": row_id})
    answers = await asyncio.gather(*tasks)
    assert sizes == [1, 3]
    assert answers[1].status_code == status
    assert answers[1].headers.get("etag") == tag
    if status == 200:
        assert answers[1].json().items() >= mine.items()
        assert (await client.get(locked)).json() == answers[1].json()
    for answer in (answers[0], *answers[2:]):
        assert (answer.status_code, answer.json()["version"]) == (200, 2)


async def test_a_change_of_email_is_written_alone(
    client: httpx.AsyncClient, sizes: list[int]
) -> None:
    rows = [await create_account(client) for _ in range(3)]
    taken = {"email": rows[0]["email"]}
    answers = await asyncio.gather(
        *(client.patch(f"/accounts/{row['id']}", json=taken) for row in rows)
    )
    assert [answer.status_code for answer in answers] == [200, 409, 409]
    assert sizes == []


class TestLocks:
    async def test_a_locked_row_holds_up_no_later_statement(
        self, client: httpx.AsyncClient, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coalescing, "SLOW_SECONDS", 0.1)
        rows = [await create_account(client) for _ in range(12)]
        paths = [f"/accounts/{row['id']}" for row in rows]
        async with transaction(database) as other:
            for row in rows[:3]:
                await lock(other, ENTRY, row["id"])
            blocked = []
            for path in paths[:3]:  # one alone, and two batches, which is all that may run at once
                blocked.append(asyncio.create_task(client.patch(path, json={"username": "x"})))
                await held_up(database, len(blocked))
            free = (client.patch(path, json={"username": "x"}) for path in paths[3:])
            answers = await come(asyncio.gather(*free))
            assert {answer.status_code for answer in answers} == {200}
            assert not any(task.done() for task in blocked)
        assert {answer.status_code for answer in await asyncio.gather(*blocked)} == {200}

    async def test_one_that_takes_too_long_fails_its_own_request_only(
        self, database: URL, ran: list[str]
    ) -> None:
        limits = {**dict.fromkeys(LIMITS, 0), "lock_timeout": 0.5}
        async with running_app(database, **limits) as application, client_of(application) as client:
            rows = [await create_account(client) for _ in range(6)]
            ran.clear()
            async with transaction(database) as other:
                await lock(other, ENTRY, rows[3]["id"])
                answers = await asyncio.gather(
                    *(
                        client.patch(f"/accounts/{row['id']}", json={"dob": None, "username": "x"})
                        for row in rows
                    )
                )
            statuses = [answer.status_code for answer in answers]
            assert statuses == [200, 200, 200, 503, 200, 200]
            assert_problem(answers[3], 503, "overloaded", {})
            assert_ran(updates(ran), 1 + 1 + 5)
            assert (await client.get(f"/accounts/{rows[3]['id']}")).json() == rows[3]

    async def test_two_statements_with_the_same_rows_wait_in_one_direction(
        self, app: FastAPI, client: httpx.AsyncClient, database: URL, ran: list[str]
    ) -> None:
        """Without an order, each would hold what the other waits for."""
        rows = [await create_account(client) for _ in range(7)]
        there = [(row["id"], {"username": "x"}) for row in rows[:6]]  # the first goes alone
        back = [(row["id"], {"dob": "1990-01-31"}) for row in rows[:0:-1]]
        # As in a large table: PostgreSQL looks for one row after another.
        for method in ("hashjoin", "mergejoin", "seqscan"):
            await execute(
                database, f'ALTER DATABASE "{database.database}" SET enable_{method} = off'
            )
        await app.state.statements.close()  # for connections that know it
        ran.clear()
        async with transaction(database) as other:
            await lock(other, ENTRY, rows[3]["id"])
            tasks = [
                asyncio.create_task(client.patch(f"/accounts/{row_id}", json=body))
                for row_id, body in there + back
            ]
            await held_up(database, 2)
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        # None has failed, and was tried again for each row.
        assert_ran(updates(ran), 3)
        for row in rows[1:6]:
            assert (await client.get(f"/accounts/{row['id']}")).json()["version"] == 3


class TestFailures:
    async def test_a_row_that_fails_takes_no_other_along(self, app: FastAPI) -> None:
        async with client_of(app) as client:
            ids = [UUID((await create_account(client))["id"]) for _ in range(10)]

        async def write(number: int) -> Any:
            # No service lets the last through: a rule of the table refuses it.
            values = {"country": "nowhere" if number == 5 else "DE"}
            async with request_session(app.state.statements) as session:
                return await update(session, ACCOUNTS, ids[number], values, UNCONDITIONAL)

        found = await asyncio.gather(*map(write, range(10)), return_exceptions=True)
        assert isinstance(found[5], IntegrityError)
        assert [one["version"] for one in found if isinstance(one, dict)] == [2] * 9

    async def test_a_lost_connection_is_told_and_nothing_is_tried_again(
        self, client: httpx.AsyncClient, database: URL, ran: list[str]
    ) -> None:
        rows = [await create_account(client) for _ in range(6)]
        await execute(
            database,
            "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$",
            "CREATE TRIGGER leave BEFORE UPDATE ON accounts FOR EACH ROW"
            " WHEN (NEW.username = 'n3') EXECUTE FUNCTION leave()",
        )
        ran.clear()
        answers = await asyncio.gather(
            *(
                client.patch(f"/accounts/{row['id']}", json={"username": f"n{number}"})
                for number, row in enumerate(rows)
            )
        )
        assert answers[0].status_code == 200  # it came alone
        for answer in answers[1:]:
            assert_problem(answer, 503, "database_unavailable", {})
        assert_ran(ran, 2)
        for row in rows[1:]:
            assert (await client.get(f"/accounts/{row['id']}")).json() == row

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
    async def test_one_that_the_database_wants_repeated_is_repeated(
        self, client: httpx.AsyncClient, database: URL, sqlstate: str
    ) -> None:
        rows = [await create_account(client) for _ in range(6)]
        await execute(
            database,
            "CREATE SEQUENCE refusals",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('refusals') <= 3 THEN"
            f" RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER refuse BEFORE UPDATE ON accounts FOR EACH ROW"
            " WHEN (NEW.username <> 'n0') EXECUTE FUNCTION refuse()",
        )
        answers = await asyncio.gather(
            *(
                client.patch(f"/accounts/{row['id']}", json={"username": f"n{number}"})
                for number, row in enumerate(rows)
            )
        )
        assert [answer.status_code for answer in answers] == [200] * 6
        assert [answer.json()["version"] for answer in answers] == [2] * 6

    async def test_a_caller_that_goes_away_takes_no_other_along(
        self, client: httpx.AsyncClient, database: URL, sizes: list[int]
    ) -> None:
        rows = [await create_account(client) for _ in range(6)]
        async with transaction(database) as other:
            await lock(other, ENTRY, rows[2]["id"])
            tasks = [
                asyncio.create_task(client.patch(f"/accounts/{row['id']}", json={"username": "x"}))
                for row in rows
            ]
            await held_up(database)
            tasks[4].cancel()
        answers = [await task for task in (*tasks[:4], tasks[5])]
        assert sizes == [1, 5]
        assert [answer.status_code for answer in answers] == [200] * 5


async def test_in_a_transaction_it_is_alone(app: FastAPI, sizes: list[int]) -> None:
    async with client_of(app) as client:
        ids = [UUID((await create_account(client))["id"]) for _ in range(3)]

    async def write(row_id: UUID) -> int:
        async with request_session(app.state.statements) as session, session.begin():
            values = {"username": "x"}
            return (await update(session, ACCOUNTS, row_id, values, UNCONDITIONAL))["version"]

    # A serializable transaction may be refused because of the others.
    writes = (retry(partial(write, row_id)) for row_id in ids)
    assert await asyncio.gather(*writes) == [2, 2, 2]
    assert sizes == []
