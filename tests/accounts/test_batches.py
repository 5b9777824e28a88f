"""The rules of accounts in batches: emails are of one account, and owners of items stay."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, text

from app.accounts import emails
from app.resources.batches import MAX_ROWS
from tests.api.batching import LoopTurns, at_rows, create, make_turns_last, send, stored, total
from tests.api.cases import UNKNOWN
from tests.applications import client_of, running_app
from tests.catalog import Row, entry_of
from tests.databases import execute
from tests.factories import account_body, create_account, create_item
from tests.locks import held_up
from tests.responses import assert_problem, places
from tests.waiting import PATIENCE

ENTRY = entry_of("/accounts")


@pytest.fixture
async def rows(client: httpx.AsyncClient) -> list[Row]:
    return await create(client, ENTRY, 4)


class TestEmails:
    async def test_the_same_twice_is_told_at_the_later_row_with_all_other_faults(
        self, client: httpx.AsyncClient
    ) -> None:
        first = account_body(email="ada@example.com")
        sent = [
            first,
            account_body(email="Ada@EXAMPLE.com"),
            account_body(),
            account_body(email=" ADA@example.com", username=""),
            account_body(email="ada@", dob="1"),
            account_body(email="ada@"),
        ]
        faults = at_rows({"/email": "not_unique"}, 1, 3)
        faults |= {"/data/3/username": "too_short", "/data/4/dob": "invalid_format"}
        faults |= at_rows({"/email": "invalid_format"}, 4, 5)
        answer = await send(client, ENTRY, "Create", sent)
        assert_problem(answer, 422, "invalid_request", faults)
        answer = await send(client, ENTRY, "Create", [{**first, "username": ""}, first])
        faults = {"/data/0/username": "too_short", "/data/1/email": "not_unique"}
        assert_problem(answer, 422, "invalid_request", faults)
        assert await total(client, ENTRY) == 0

    async def test_the_same_twice_in_changes(
        self, client: httpx.AsyncClient, rows: list[Row]
    ) -> None:
        sent: list[Row] = [{"id": row["id"], "email": "ada@example.com"} for row in rows]
        del sent[1]["email"]
        answer = await send(client, ENTRY, "Update", sent)
        faults = at_rows({"/email": "not_unique"}, 2, 3)
        assert_problem(answer, 422, "invalid_request", faults)

    async def test_those_of_other_accounts_are_told_at_all_rows(
        self, client: httpx.AsyncClient, rows: list[Row]
    ) -> None:
        sent = [account_body() for _ in range(5)]
        sent[1]["email"] = rows[0]["email"].upper()
        sent[4]["email"] = rows[3]["email"]
        answer = await send(client, ENTRY, "Create", sent)
        taken = {"/email": "not_unique"}
        assert_problem(answer, 409, "email_taken", at_rows(taken, 1, 4))
        assert await total(client, ENTRY) == 4
        other = await create_account(client)
        changes: list[Row] = [{"id": row["id"], "username": "changed"} for row in rows]
        local, at, domain = rows[0]["email"].partition("@")
        changes[0]["email"] = f"{local.swapcase()}{at}{domain}"  # it is its own
        changes[2]["email"] = other["email"]
        changes[3]["email"] = other["email"].replace("person", "someone")
        answer = await send(client, ENTRY, "Update", changes)
        assert_problem(answer, 409, "email_taken", at_rows(taken, 2))
        assert await stored(client, ENTRY, rows) == rows
        del changes[2]["email"]
        answer = await send(client, ENTRY, "Update", changes)
        assert [row["email"] for row in answer.json()["data"]] == [
            changes[0]["email"],
            rows[1]["email"],
            rows[2]["email"],
            changes[3]["email"],
        ]

    async def test_two_rows_may_not_exchange_theirs(
        self, client: httpx.AsyncClient, rows: list[Row]
    ) -> None:
        first, second, third, last = rows
        exchange = [
            {"id": first["id"], "email": second["email"]},
            {"id": third["id"], "username": "changed"},
            {"id": second["id"], "email": first["email"]},
        ]
        for sent in (exchange, exchange[::-1]):
            answer = await send(client, ENTRY, "Update", sent)
            assert_problem(answer, 409, "email_taken", at_rows({"/email": "not_unique"}, 0, 2))
        # Nor may one take that of a row that gives it up, whichever comes first.
        passed = [
            {"id": last["id"], "email": third["email"]},
            {"id": third["id"], "email": "new@example.com"},
        ]
        for row, sent in enumerate((passed, passed[::-1])):
            answer = await send(client, ENTRY, "Update", sent)
            assert_problem(answer, 409, "email_taken", at_rows({"/email": "not_unique"}, row))
        assert await stored(client, ENTRY, rows) == rows

    async def test_conflicts_come_last(self, client: httpx.AsyncClient, rows: list[Row]) -> None:
        other = await create_account(client)
        sent: list[Row] = [{"id": row["id"], "version": 7} for row in rows]
        sent[0]["email"] = other["email"]
        answer = await send(client, ENTRY, "Update", [*sent, {"id": UNKNOWN}])
        assert_problem(answer, 404, "account_not_found", {"/data/4/id": "not_found"})
        answer = await send(client, ENTRY, "Update", sent)
        assert_problem(answer, 412, "stale_version", at_rows({"/version": "stale"}, 0, 1, 2, 3))

    async def test_the_database_decides_between_batches_at_once(
        self, committed_client: httpx.AsyncClient
    ) -> None:
        """Whatever the order of their rows, they wait for each other in one direction."""
        client = committed_client
        for turn in range(5):
            sent = [account_body(email=f"{turn}x{n:03}@example.com") for n in range(100)]
            answers = await asyncio.gather(
                *(send(client, ENTRY, "Create", order) for order in (sent, sent[::-1]) * 3)
            )
            assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 5}
            for answer in answers:
                if answer.is_error:
                    faults = at_rows({"/email": "not_unique"}, *range(100))
                    assert_problem(answer, 409, "email_taken", faults)
        assert await total(client, ENTRY) == 500


class TestFields:
    async def test_a_national_number_needs_the_country_of_its_row(
        self, client: httpx.AsyncClient
    ) -> None:
        sent = [
            account_body(phone_number="0790000000", country="Jordan"),
            account_body(phone_number="0790000000"),
        ]
        answer = await send(client, ENTRY, "Create", sent)
        faults = {"/data/1/phone_number": "invalid_format"}
        assert_problem(answer, 422, "invalid_request", faults)
        row = (await send(client, ENTRY, "Create", sent[:1])).json()["data"][0]
        assert (row["phone_number"], row["country"]) == ("+962790000000", "JO")


class TestDelete:
    async def test_owners_stay(self, client: httpx.AsyncClient, rows: list[Row]) -> None:
        item = await create_item(client, rows[1]["id"])
        sent: list[Row] = [{"id": row["id"]} for row in rows]
        answer = await send(client, ENTRY, "Delete", sent)
        problem = assert_problem(
            answer, 409, "account_has_items", {"/data/1/id": "account_has_items"}
        )
        assert "cascade" in problem["detail"]
        sent[2]["version"] = 7
        answer = await send(client, ENTRY, "Delete", sent)
        assert_problem(answer, 412, "stale_version", {"/data/2/version": "stale"})
        assert await stored(client, ENTRY, rows) == rows
        assert (await client.get(f"/items/{item['id']}")).status_code == 200

    async def test_cascade_deletes_their_items_too(
        self, client: httpx.AsyncClient, rows: list[Row], statements: list[str]
    ) -> None:
        items = [await create_item(client, rows[n]["id"]) for n in (0, 0, 1, 3)]
        sent: list[Row] = [{"id": row["id"]} for row in rows[:3]]
        for change, status in (({"version": 7}, 412), ({"id": UNKNOWN}, 404)):
            bad = [*sent[:2], {**sent[2], **change}]
            answer = await send(client, ENTRY, "Delete", bad, cascade="true")
            assert answer.status_code == status
        assert await stored(client, entry_of("/items"), items) == items
        statements.clear()
        answer = await send(client, ENTRY, "Delete", sent, cascade="true")
        assert (answer.status_code, answer.content) == (204, b"")
        # One sets the time limit, one locks, and one deletes of each kind.
        assert len(statements) == 4
        assert await stored(client, ENTRY, rows) == rows[3:]
        assert await stored(client, entry_of("/items"), items) == items[3:]

    async def test_a_key_belongs_to_the_query_too(
        self, client: httpx.AsyncClient, rows: list[Row]
    ) -> None:
        key, sent = {"Idempotency-Key": "k"}, [{"id": rows[0]["id"]}]
        assert (await send(client, ENTRY, "Delete", sent, key)).status_code == 204
        answer = await send(client, ENTRY, "Delete", sent, key, cascade="true")
        assert_problem(answer, 422, "idempotency_key_reused")
        answer = await send(client, ENTRY, "Delete", sent, key, cascade="0")
        assert answer.headers["idempotency-replayed"] == "true"

    @pytest.mark.parametrize("cascade", ["true", "false"])
    async def test_has_the_time_that_the_setting_gives(self, database: URL, cascade: str) -> None:
        """Deleting an item takes longer than a statement may, but for those of a cascade."""
        await execute(
            database,
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.3); RETURN OLD; END $$",
            "CREATE TRIGGER slow BEFORE DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        async with (
            running_app(database, statement_timeout=0.2, cascade_timeout=60) as app,
            client_of(app) as client,
        ):
            rows = await create(client, ENTRY, 2)
            sent = [{"id": row["id"]} for row in rows]
            answer = await send(client, ENTRY, "Delete", sent, cascade=cascade)
            if cascade == "true":
                assert answer.status_code == 204
            else:
                assert_problem(answer, 503, "overloaded")


async def test_others_have_their_turn_between_rows(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_turns_last(4, monkeypatch)
    turns = LoopTurns()
    checked: Counter[int] = Counter()
    keyed: Counter[int] = Counter()
    normalize, unique_key = emails.normalize, emails.unique_key

    def count_normalize(value: str) -> Any:
        checked[turns.number] += 1
        return normalize(value)

    def count_unique_key(value: str) -> str:
        keyed[turns.number] += 1
        return unique_key(value)

    monkeypatch.setattr(emails, "normalize", count_normalize)
    monkeypatch.setattr(emails, "unique_key", count_unique_key)
    sent = [account_body() for _ in range(MAX_ROWS)]
    answer = await send(client, ENTRY, "Create", sent, {"Idempotency-Key": "k"})
    turns.stop()
    assert answer.status_code == 201, answer.text
    # Each email is normalized once for its field, and once to be compared with others.
    assert max(checked.values()) <= 2 * 4
    assert max(keyed.values()) <= 2 * 4
    assert len(checked) >= MAX_ROWS / 4


async def test_a_batch_waits_for_a_row_and_changes_it_as_it_is_then(
    committed_app: FastAPI, database: URL
) -> None:
    async with client_of(committed_app) as client:
        rows = await create(client, ENTRY, 3)
        sent = [{"id": row["id"], "version": 1, "username": "changed"} for row in rows]
        async with committed_app.state.statements._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            await driver.execute("BEGIN")
            await driver.execute(
                f"UPDATE accounts SET version = 2, username = 'x' WHERE id = '{rows[1]['id']}'"
            )
            batch = asyncio.create_task(send(client, ENTRY, "Update", sent))
            await held_up(database)
            await driver.execute("COMMIT")
        answer = await batch
        assert_problem(answer, 412, "stale_version", {"/data/1/version": "stale"})
        assert (await stored(client, ENTRY, rows))[::2] == rows[::2]


async def test_a_conflict_that_has_gone_meanwhile_is_overload(
    committed_app: FastAPI, database: URL
) -> None:
    """The constraint refuses a row, but no other row is found that has its email."""
    await execute(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE"
        " unique_violation USING CONSTRAINT = 'uq_accounts_email_key'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    async with client_of(committed_app) as client:
        answer = await send(client, ENTRY, "Create", [account_body()])
        assert_problem(answer, 503, "overloaded", {})
        assert answer.headers["retry-after"]


async def test_another_constraint_is_a_bug(committed_app: FastAPI, database: URL) -> None:
    await execute(database, "ALTER TABLE accounts ADD CONSTRAINT no_eve CHECK (username <> 'eve')")
    async with client_of(committed_app) as client:
        sent = [account_body(), account_body(username="eve")]
        answer = await send(client, ENTRY, "Create", sent)
        assert_problem(answer, 500, "internal", {})
        assert await total(client, ENTRY) == 0


async def test_a_deadlock_is_tried_again(committed_app: FastAPI, database: URL) -> None:
    await execute(
        database,
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('tries') = 1 THEN RAISE deadlock_detected; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    async with client_of(committed_app) as client:
        answer = await send(client, ENTRY, "Create", [account_body(), account_body()])
        assert answer.status_code == 201, answer.text
        assert await total(client, ENTRY) == 2
        statement = text("SELECT last_value FROM tries")
        assert await committed_app.state.statements.scalar(statement) == 3


async def test_faults_of_emails_in_the_dns_are_told_at_their_rows(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    class Dns:
        lifetime = PATIENCE

        def __init__(self) -> None:
            self.asked: Counter[str] = Counter()

        async def resolve(self, domain: str, kind: str) -> Any:
            self.asked[domain] += 1
            if domain.startswith("silent"):
                raise OSError
            return [] if domain.startswith("null") else [type("Mx", (), {"exchange": "mx"})]

    dns = app.state.email_resolver = Dns()
    sent = [
        account_body(email=f"{n}@{name}.example.com")
        for n, name in enumerate(("null", "mx", "silent", "null", "null2", "mx"))
    ]
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = await send(client, ENTRY, "Create", sent, headers)
        faults = at_rows({"/email": "invalid_format"}, 0, 3, 4)
        assert_problem(answer, 422, "invalid_request", faults)
        assert {*dns.asked.values()} == {1}  # a domain is asked about once
        dns.asked.clear()
    good = [sent[1], sent[2], sent[5]]
    answer = await send(client, ENTRY, "Create", good, {"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    rows = answer.json()["data"]
    changes = [{"id": rows[0]["id"]}, {"id": rows[1]["id"], "email": "x@null.example.com"}]
    answer = await send(client, ENTRY, "Update", changes)
    assert places(answer) == {"/data/1/email": "invalid_format"}


async def test_the_dns_has_the_time_for_one_email(client: httpx.AsyncClient, app: FastAPI) -> None:
    class Silent:
        lifetime = 0.01

        async def resolve(self, domain: str, kind: str) -> Any:
            await asyncio.Event().wait()

    app.state.email_resolver = Silent()
    sent = [account_body(email=f"{n}@{n}.example.com") for n in range(200)]
    answer = await send(client, ENTRY, "Create", sent)
    assert answer.status_code == 201, answer.text


async def test_a_lost_connection_stores_nothing(committed_app: FastAPI, database: URL) -> None:
    await execute(
        database,
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$",
        "CREATE TRIGGER leave BEFORE INSERT ON accounts FOR EACH ROW"
        " WHEN (NEW.username = 'last') EXECUTE FUNCTION leave()",
    )
    async with client_of(committed_app) as client:
        sent = [*(account_body() for _ in range(9)), account_body(username="last")]
        answer = await send(client, ENTRY, "Create", sent)
        assert_problem(answer, 503, "database_unavailable", {})
        assert (await send(client, ENTRY, "Create", sent[:9])).status_code == 201
        assert await total(client, ENTRY) == 9
