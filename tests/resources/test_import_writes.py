"""Rows of files are stored as POST stores them, whatever is there and whoever writes meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import URL, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.api.imports.records import DELIMITERS
from app.errors import TransactionConflict
from app.resources.fields import FormText
from app.resources.import_writes import ATTEMPTS, write
from app.resources.imports import Options, Report
from tests.catalog import Entry, Row, entry_of, every_resource
from tests.factories import account_body, item_body, next_number
from tests.imports import (
    as_csv,
    as_ndjson,
    check,
    import_file,
    import_rows,
    importable_of,
    pieces,
)
from tests.locks import held_up
from tests.waiting import come

ACCOUNTS, ITEMS = entry_of("/accounts"), entry_of("/items")
# What no two rows share.
OWN = {"id", "created", "updated"}


async def stored(connection: AsyncConnection, entry: Entry) -> list[Row]:
    table = entry.resource.table
    found = await connection.execute(select(table).order_by(table.c.created, table.c.id))
    return [dict(row) for row in found.mappings()]


async def stored_one(connection: AsyncConnection, entry: Entry, row_id: Any) -> Row:
    (row,) = [row for row in await stored(connection, entry) if str(row["id"]) == str(row_id)]
    return row


def without_own(rows: Sequence[Row]) -> list[Row]:
    found = [{name: row[name] for name in row if name not in OWN} for row in rows]
    return sorted(found, key=str)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.skipped, report.rejected


def found(report: Report) -> list[tuple[int, str, str]]:
    assert report.rejected >= len(report.errors)
    return [(each["row"], each["pointer"], each["code"]) for each in report.errors]


async def bodies(connection: AsyncConnection, entry: Entry, number: int) -> list[Row]:
    """Valid ones, whose parents are there."""
    made = []
    for name, parent in entry.parents().items():
        made = [row["id"] for row in await parent.insert(connection, [{}] * 2)]
        return [{**entry.body(next_number()), name: made[n % 2]} for n in range(number)]
    return [entry.body(next_number()) for _ in range(number)]


@every_resource
class TestStoredRows:
    async def test_are_those_that_post_stores(
        self, connection: AsyncConnection, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = await bodies(connection, entry, 20)
        async with connection.begin_nested() as savepoint:
            for row in rows:
                assert (await client.post(entry.path, json=row)).status_code == 201
            expected = await stored(connection, entry)
            await savepoint.rollback()
        report = await import_rows(connection, entry, *rows)
        assert counts(report) == (20, 0, 0, 0)
        imported = await stored(connection, entry)
        assert without_own(imported) == without_own(expected)
        assert {row["version"] for row in imported} == {1}
        assert {row["id"].version for row in imported} == {7}
        assert all(row["created"] == row["updated"] for row in imported)

    async def test_have_ids_in_the_order_of_the_file(
        self, connection: AsyncConnection, entry: Entry
    ) -> None:
        rows = await bodies(connection, entry, 20)
        await import_rows(connection, entry, *rows)
        imported = sorted(await stored(connection, entry), key=lambda row: str(row["id"]))
        name = entry.free_text
        assert [row[name] for row in imported] == [row[name] for row in rows]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data())
    async def test_hold_any_text(
        self, connection: AsyncConnection, entry: Entry, data: st.DataObject
    ) -> None:
        texts = data.draw(
            st.lists(
                st.text(
                    st.sampled_from("\"'\n\r\t,;=+-@\\N.\ufeff\u05d0\u202e😀 ")
                    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
                    min_size=1,
                    max_size=20,
                ),
                min_size=1,
                max_size=4,
            )
        )
        name, create = entry.free_text, TypeAdapter(importable_of(entry).create)
        async with connection.begin_nested() as savepoint:
            rows, expected = [], []
            for row, value in zip(await bodies(connection, entry, len(texts)), texts, strict=True):
                try:
                    taken = create.validate_python({**row, name: FormText(value)})
                except ValidationError:
                    continue
                rows.append({**row, name: value})
                expected.append(getattr(taken, name))
            if rows:
                is_csv = data.draw(st.booleans())
                delimiter = data.draw(st.sampled_from(DELIMITERS))
                end = data.draw(st.sampled_from(["\n", "\r\n"]))
                file = as_csv(rows, delimiter, end) if is_csv else as_ndjson(rows)
                report = await import_file(connection, entry, file)
                assert counts(report) == (len(rows), 0, 0, 0)
                imported = sorted(await stored(connection, entry), key=lambda row: str(row["id"]))
                assert [row[name] for row in imported] == expected
            await savepoint.rollback()

    async def test_take_a_number_of_statements_that_does_not_depend_on_theirs(
        self, connection: AsyncConnection, entry: Entry, statements: list[str]
    ) -> None:
        numbers = []
        for number in (2, 300):
            rows = await bodies(connection, entry, number)
            for on_conflict in ("fail", "update"):
                statements.clear()
                await import_rows(connection, entry, *rows, on_conflict=on_conflict)
                numbers.append(len(statements))
                ids = [row["id"] for row in await stored(connection, entry)][-number:]
                rows = [{**row, "id": each} for row, each in zip(rows, ids, strict=True)]
        assert numbers[:2] == numbers[2:]
        assert max(numbers) <= 10


@every_resource
class TestRowsThatAreThere:
    async def there(self, connection: AsyncConnection, entry: Entry) -> tuple[Row, Row]:
        """A stored row, and the body that it was made of, with its id."""
        (body,) = await bodies(connection, entry, 1)
        await import_rows(connection, entry, body)
        (row,) = await stored(connection, entry)
        return row, {**body, "id": str(row["id"])}

    async def test_are_faults(self, connection: AsyncConnection, entry: Entry) -> None:
        _, body = await self.there(connection, entry)
        (new,) = await bodies(connection, entry, 1)
        before = await stored(connection, entry)
        report = await import_rows(connection, entry, new, body)
        assert counts(report) == (0, 0, 0, 1)
        name = "email" if entry is ACCOUNTS else "id"
        assert found(report) == [(2, f"/{name}", "not_unique")]
        assert await stored(connection, entry) == before

    async def test_are_left_out_with_other_bad_rows(
        self, connection: AsyncConnection, entry: Entry
    ) -> None:
        _, body = await self.there(connection, entry)
        (new,) = await bodies(connection, entry, 1)
        report = await import_rows(connection, entry, new, body, skips_bad=True)
        assert counts(report) == (1, 0, 0, 1)
        assert len(await stored(connection, entry)) == 2

    async def test_are_skipped(self, connection: AsyncConnection, entry: Entry) -> None:
        row, body = await self.there(connection, entry)
        (new,) = await bodies(connection, entry, 1)
        report = await import_rows(
            connection, entry, {**body, **entry.changes}, new, on_conflict="skip"
        )
        assert counts(report) == (1, 0, 1, 0)
        assert await stored_one(connection, entry, row["id"]) == row

    async def test_are_updated(self, connection: AsyncConnection, entry: Entry) -> None:
        row, body = await self.there(connection, entry)
        (new,) = await bodies(connection, entry, 1)
        changed = {**body, **entry.changes, "created": "2001-01-01T00:00:00Z"}
        report = await import_rows(
            connection, entry, changed, new, on_conflict="update", keeps_ids=True
        )
        assert counts(report) == (1, 1, 0, 0)
        now = await stored_one(connection, entry, row["id"])
        assert now["version"] == 2
        assert now["created"] == row["created"]
        assert now["updated"] > row["updated"]
        assert {name: str(now[name]) for name in entry.changes} == entry.changes

    async def test_without_a_real_change_are_skipped(
        self, connection: AsyncConnection, entry: Entry
    ) -> None:
        row, body = await self.there(connection, entry)
        report = await import_rows(connection, entry, body, on_conflict="update")
        assert counts(report) == (0, 0, 1, 0)
        assert await stored_one(connection, entry, row["id"]) == row

    async def test_keep_what_the_file_does_not_have(
        self, connection: AsyncConnection, entry: Entry
    ) -> None:
        """Each row of NDJSON has its own members."""
        fields = importable_of(entry).create.model_fields
        optional = [name for name, field in fields.items() if not field.is_required()]
        # Of the first twenty that are not empty, since the second is cleared.
        rows = [
            row
            for row in await bodies(connection, entry, 20)
            if any(row.get(name) for name in optional)
        ][:2]
        await import_rows(connection, entry, *rows)
        before = await stored(connection, entry)
        needed = [
            {name: str(row[name]) for name in (*fields, "id") if name not in optional}
            for row in before
        ]
        report = await import_rows(
            connection,
            entry,
            needed[0],
            {**needed[1], **dict.fromkeys(optional)},
            on_conflict="update",
        )
        assert report.updated == 1
        after = {row["id"]: row for row in await stored(connection, entry)}
        assert after[before[0]["id"]] == before[0]
        cleared = after[before[1]["id"]]
        assert {name for name in optional if cleared[name] is not None} <= {"price"}
        assert str(cleared.get("price", "0.00")) == "0.00"

    @pytest.mark.parametrize("on_conflict", ["fail", "skip", "update"])
    async def test_twice_in_the_file_are_faults_at_the_later_row(
        self, connection: AsyncConnection, entry: Entry, on_conflict: str
    ) -> None:
        row, body = await self.there(connection, entry)
        once, again = await bodies(connection, entry, 2)
        new_id = str(uuid4())
        if entry.resource.unique:
            again = {**again, "id": str(row["id"])}  # and the first by its email
            first = {**body, "id": None}
        else:
            first = again = body
        report = await import_rows(
            connection,
            entry,
            {**once, "id": new_id},
            first,
            {**once, "id": new_id},
            again,
            on_conflict=on_conflict,
            skips_bad=True,
        )
        assert found(report)[-2:] == [(3, "/id", "not_unique"), (4, "/id", "not_unique")]
        assert counts(report)[0] == 1

    async def test_by_another_id_are_new_and_get_one(
        self, connection: AsyncConnection, entry: Entry
    ) -> None:
        (body,) = await bodies(connection, entry, 1)
        given = str(uuid4())
        assert counts(await import_rows(connection, entry, {**body, "id": given}))[0] == 1
        (row,) = await stored(connection, entry)
        assert str(row["id"]) != given


class TestAccounts:
    async def account(self, connection: AsyncConnection, **fields: Any) -> Row:
        body = account_body(**fields)
        await import_rows(connection, ACCOUNTS, body)
        return next(
            row for row in await stored(connection, ACCOUNTS) if row["email"] == body["email"]
        )

    async def test_are_found_by_their_email_in_any_case(self, connection: AsyncConnection) -> None:
        row = await self.account(connection, email="Ada@example.com")
        change = {"email": "ADA@example.com", "username": "new"}
        report = await import_rows(connection, ACCOUNTS, change, on_conflict="update")
        assert counts(report) == (0, 1, 0, 0)
        now = await stored_one(connection, ACCOUNTS, row["id"])
        assert (now["email"], now["username"]) == ("ADA@example.com", "new")

    async def test_found_by_their_id_get_another_email(self, connection: AsyncConnection) -> None:
        row = await self.account(connection)
        change = account_body(id=str(row["id"]), email="New@example.com")
        report = await import_rows(connection, ACCOUNTS, change, on_conflict="update")
        assert counts(report) == (0, 1, 0, 0)
        now = await stored_one(connection, ACCOUNTS, row["id"])
        assert (now["email"], now["email_key"]) == ("New@example.com", "new@example.com")

    @pytest.mark.parametrize("keeps_ids", [False, True])
    async def test_found_by_their_email_keep_their_id(
        self, connection: AsyncConnection, keeps_ids: bool
    ) -> None:
        row = await self.account(connection)
        change = account_body(id=str(uuid4()), email=row["email"])
        report = await import_rows(
            connection, ACCOUNTS, change, on_conflict="update", keeps_ids=keeps_ids
        )
        assert counts(report) == (0, 1, 0, 0)
        assert (await stored_one(connection, ACCOUNTS, row["id"]))["version"] == 2

    @pytest.mark.parametrize("on_conflict", ["fail", "skip", "update"])
    async def test_of_which_one_has_the_email_and_another_the_id_are_a_fault(
        self, connection: AsyncConnection, on_conflict: str
    ) -> None:
        one, other = await self.account(connection), await self.account(connection)
        row = account_body(id=str(one["id"]), email=other["email"].upper())
        report = await import_rows(connection, ACCOUNTS, row, on_conflict=on_conflict)
        assert found(report) == [(1, "/email", "not_unique")]

    async def test_do_not_exchange_their_emails(self, connection: AsyncConnection) -> None:
        one, other = await self.account(connection), await self.account(connection)
        rows = [
            account_body(id=str(mine["id"]), email=yours["email"])
            for mine, yours in ((one, other), (other, one))
        ]
        report = await import_rows(connection, ACCOUNTS, *rows, on_conflict="update")
        assert found(report) == [(1, "/email", "not_unique"), (2, "/email", "not_unique")]

    async def test_with_one_email_in_two_cases_are_a_fault(
        self, connection: AsyncConnection
    ) -> None:
        rows = [account_body(email=email) for email in ("a@example.com", "A@example.com")]
        report = await import_rows(connection, ACCOUNTS, *rows)
        assert found(report) == [(2, "/email", "not_unique")]
        assert await stored(connection, ACCOUNTS) == []

    async def test_keep_ids_and_instants(self, connection: AsyncConnection) -> None:
        given = [UUID(int=0), uuid4(), UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
        rows = [account_body(id=str(each), created="2022-05-17 10:00:00+00") for each in given]
        rows[1]["updated"] = "2023-05-17 10:00:00.5+02"
        rows.append(account_body())
        report = await import_rows(connection, ACCOUNTS, *rows, keeps_ids=True)
        assert counts(report) == (4, 0, 0, 0)
        first, second, third, new = [
            await stored_one(connection, ACCOUNTS, each)
            for each in (
                *given,
                next(
                    row["id"]
                    for row in await stored(connection, ACCOUNTS)
                    if row["id"] not in given
                ),
            )
        ]
        assert {row["created"].isoformat() for row in (first, second, third)} == {
            "2022-05-17T10:00:00+00:00"
        }
        assert first["updated"] == first["created"]
        assert second["updated"].isoformat() == "2023-05-17T08:00:00.500000+00:00"
        assert new["id"].version == 7
        assert new["created"] == new["updated"] > second["updated"]

    async def test_have_at_most_as_many_faults_as_are_wanted(
        self, connection: AsyncConnection
    ) -> None:
        rows = [account_body(email="a@example.com") for _ in range(9)]
        report = await import_rows(connection, ACCOUNTS, *rows, max_faults=3)
        assert report.rejected == 8
        assert [row for row, *_ in found(report)] == [2, 3, 4]


class TestItems:
    async def owners(self, connection: AsyncConnection) -> list[Row]:
        return await ACCOUNTS.insert(
            connection, [{"email": f"{name}@example.com"} for name in ("Ada", "bob")]
        )

    def item(self, **fields: Any) -> Row:
        body = item_body("")
        del body["account_id"]
        return {**body, **fields}

    async def test_belong_to_the_account_of_an_email(self, connection: AsyncConnection) -> None:
        ada, bob = await self.owners(connection)
        rows = [
            self.item(account_email="ADA@example.com"),
            self.item(account_email=" bob@example.com"),
            self.item(account_id=bob["id"]),
        ]
        report = await import_rows(connection, ITEMS, *rows)
        assert counts(report) == (3, 0, 0, 0)
        owners = {row["name"]: str(row["account_id"]) for row in await stored(connection, ITEMS)}
        assert [owners[row["name"]] for row in rows] == [ada["id"], bob["id"], bob["id"]]

    async def test_of_an_unknown_owner_are_faults_at_the_column_of_the_file(
        self, connection: AsyncConnection
    ) -> None:
        await self.owners(connection)
        await import_rows(connection, ACCOUNTS, account_body(id=str(UUID(int=0))), keeps_ids=True)
        rows = [
            self.item(account_email="nobody@example.com"),
            self.item(account_email="no email"),
            self.item(account_email=""),
            self.item(account_id=str(uuid4())),
        ]
        report = await import_rows(connection, ITEMS, *rows)
        assert found(report) == [
            (1, "/account_email", "not_found"),
            (2, "/account_email", "not_found"),
            (3, "/account_email", "not_found"),
            (4, "/account_id", "not_found"),
        ]

    async def test_move_to_the_account_of_an_email(self, connection: AsyncConnection) -> None:
        ada, bob = await self.owners(connection)
        await import_rows(connection, ITEMS, self.item(account_id=ada["id"]))
        (row,) = await stored(connection, ITEMS)
        moved = self.item(id=str(row["id"]), name=row["name"], account_email="bob@example.com")
        report = await import_rows(connection, ITEMS, moved, on_conflict="update")
        assert counts(report) == (0, 1, 0, 0)
        assert str((await stored_one(connection, ITEMS, row["id"]))["account_id"]) == bob["id"]

    async def test_are_found_by_their_new_words(self, connection: AsyncConnection) -> None:
        ada, _ = await self.owners(connection)
        old = self.item(account_id=ada["id"], name="Lamp", description="Brass")
        await import_rows(connection, ITEMS, old)
        (row,) = await stored(connection, ITEMS)
        new = {**old, "id": str(row["id"]), "name": "Desk"}
        del new["description"]
        await import_rows(connection, ITEMS, new, on_conflict="update")
        now = await stored_one(connection, ITEMS, row["id"])
        assert "desk" in now["name_words"]
        assert now["description_words"] == row["description_words"]


class TestBatches:
    """Several writes in one transaction."""

    async def test_are_compared_with_those_before(self, connection: AsyncConnection) -> None:
        body = account_body()
        assert counts(await import_rows(connection, ACCOUNTS, body)) == (1, 0, 0, 0)
        assert counts(await import_rows(connection, ACCOUNTS, body)) == (0, 0, 0, 1)
        report = await import_rows(connection, ACCOUNTS, body, on_conflict="update")
        assert counts(report) == (0, 0, 1, 0)

    async def test_hold_no_more_locks_than_one(self, connection: AsyncConnection) -> None:
        """The table of locks has room for some thousands, for all transactions together."""
        held = text("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()")
        numbers = set()
        for _ in range(5):
            await import_rows(connection, ACCOUNTS, account_body())
            numbers.add(await connection.scalar(held))
        assert len(numbers) == 1

    async def test_of_several_resources_go_on(self, connection: AsyncConnection) -> None:
        for _ in range(2):
            await import_rows(connection, ACCOUNTS, account_body())
            owner = (await stored(connection, ACCOUNTS))[0]["id"]
            report = await import_rows(connection, ITEMS, item_body(str(owner)))
            assert counts(report) == (1, 0, 0, 0)

    async def test_of_no_rows_do_nothing(self, connection: AsyncConnection) -> None:
        lines: list[bytes] = []
        report = await write(connection, importable_of(ACCOUNTS), pieces(lines), Options())
        assert report == Report()


@asynccontextmanager
async def connected(database: URL) -> AsyncIterator[AsyncConnection]:
    # In stricter transactions, an import that meets others begins again as a whole.
    engine = create_async_engine(database, poolclass=NullPool, isolation_level="READ COMMITTED")
    async with engine.connect() as connection:
        yield connection


class TestOthers:
    """Who write the same rows at the same time, on connections of their own."""

    @pytest.fixture
    async def ours(self, database: URL) -> AsyncIterator[AsyncConnection]:
        async with connected(database) as connection:
            yield connection

    @pytest.fixture
    async def theirs(self, database: URL) -> AsyncIterator[AsyncConnection]:
        async with connected(database) as connection:
            yield connection

    async def after(
        self, database: URL, theirs: AsyncConnection, importing: Any, *, commits: bool = True
    ) -> Report:
        """The report of an import that meets the rows of an open transaction, which then ends."""
        task = asyncio.ensure_future(importing)
        await held_up(database)
        await (theirs.commit() if commits else theirs.rollback())
        report: Report = await come(task)
        return report

    @pytest.mark.parametrize("commits", [True, False])
    async def test_insert_a_row(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection, commits: bool
    ) -> None:
        body = account_body()
        await import_rows(theirs, ACCOUNTS, body)
        report = await self.after(
            database, theirs, import_rows(ours, ACCOUNTS, account_body(), body), commits=commits
        )
        assert found(report) == ([(2, "/email", "not_unique")] if commits else [])
        assert counts(report) == ((0, 0, 0, 1) if commits else (2, 0, 0, 0))

    @pytest.mark.parametrize(
        ("on_conflict", "expected"), [("skip", (1, 0, 1, 0)), ("update", (1, 1, 0, 0))]
    )
    async def test_insert_a_row_that_is_then_there(
        self,
        database: URL,
        ours: AsyncConnection,
        theirs: AsyncConnection,
        on_conflict: str,
        expected: tuple[int, ...],
    ) -> None:
        body = account_body()
        await import_rows(theirs, ACCOUNTS, body)
        rows = account_body(), {**body, "username": "other"}
        importing = import_rows(ours, ACCOUNTS, *rows, on_conflict=on_conflict)
        assert counts(await self.after(database, theirs, importing)) == expected

    async def test_insert_the_id_of_a_row(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection
    ) -> None:
        given = str(uuid4())
        await import_rows(theirs, ACCOUNTS, account_body(id=given), keeps_ids=True)
        importing = import_rows(ours, ACCOUNTS, account_body(id=given), keeps_ids=True)
        assert found(await self.after(database, theirs, importing)) == [(1, "/id", "not_unique")]

    async def test_delete_a_row_that_is_updated(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection
    ) -> None:
        body = account_body()
        await import_rows(theirs, ACCOUNTS, body)
        await theirs.commit()
        await theirs.execute(text("DELETE FROM accounts"))
        change = {**body, "username": "new"}
        importing = import_rows(ours, ACCOUNTS, change, on_conflict="update")
        assert counts(await self.after(database, theirs, importing)) == (1, 0, 0, 0)
        assert [row["username"] for row in await stored(ours, ACCOUNTS)] == ["new"]

    async def test_change_the_email_of_a_row_that_is_updated(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection
    ) -> None:
        body = account_body()
        await import_rows(theirs, ACCOUNTS, body)
        await theirs.commit()
        await theirs.execute(text("UPDATE accounts SET email = 'x@b.c', email_key = 'x@b.c'"))
        change = {**body, "username": "new"}
        importing = import_rows(ours, ACCOUNTS, change, on_conflict="update")
        assert counts(await self.after(database, theirs, importing)) == (1, 0, 0, 0)
        emails = {row["email"] for row in await stored(ours, ACCOUNTS)}
        assert emails == {"x@b.c", body["email"]}

    async def test_take_the_email_that_an_account_gets(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection
    ) -> None:
        await import_rows(ours, ACCOUNTS, account_body())
        await ours.commit()
        (row,) = await stored(ours, ACCOUNTS)
        await ours.commit()
        taken = account_body()
        await import_rows(theirs, ACCOUNTS, taken)
        change = account_body(id=str(row["id"]), email=taken["email"])
        importing = import_rows(ours, ACCOUNTS, change, on_conflict="update")
        assert found(await self.after(database, theirs, importing)) == [(1, "/email", "not_unique")]

    @pytest.mark.parametrize("name", ["account_id", "account_email"])
    async def test_delete_an_owner(
        self, database: URL, ours: AsyncConnection, theirs: AsyncConnection, name: str
    ) -> None:
        (owner,) = await ACCOUNTS.insert(theirs, [{"email": "ada@example.com"}])
        await theirs.commit()
        await theirs.execute(text("DELETE FROM accounts"))
        row = item_body(owner["id"])
        if name == "account_email":
            row["account_email"] = owner["email"]
            del row["account_id"]
        report = await self.after(database, theirs, import_rows(ours, ITEMS, row))
        assert found(report) == [(1, f"/{name}", "not_found")]

    async def test_import_the_same_rows(self, database: URL) -> None:
        rows = [account_body() for _ in range(300)]

        async def one(part: Sequence[Row]) -> Report:
            async with connected(database) as connection:
                report = await import_rows(connection, ACCOUNTS, *part, skips_bad=True)
                await connection.commit()
                return report

        # Two in the same order, and two in the reverse one, which wait for each other in turn.
        reports = await come(
            asyncio.gather(*(one(part) for part in (rows, rows[::-1], rows, rows[::-1])))
        )
        assert sum(report.created for report in reports) == len(rows)
        assert sum(report.rejected for report in reports) == 3 * len(rows)
        async with connected(database) as connection:
            assert len(await stored(connection, ACCOUNTS)) == len(rows)

    async def failing(self, connection: AsyncConnection, code: str, times: int) -> None:
        """The first inserts of accounts fail so often, with this SQLSTATE."""
        await connection.execute(text("CREATE SEQUENCE tries"))
        await connection.execute(
            text(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF nextval('tries') <= {times} THEN RAISE EXCEPTION USING ERRCODE = '{code}';"
                " END IF; RETURN NULL; END $$"
            )
        )
        await connection.execute(
            text("CREATE TRIGGER fail AFTER INSERT ON accounts EXECUTE FUNCTION fail()")
        )
        await connection.commit()

    async def test_deadlock_with_an_import_that_tries_again(self, ours: AsyncConnection) -> None:
        await self.failing(ours, "40P01", ATTEMPTS - 1)
        assert counts(await import_rows(ours, ACCOUNTS, account_body())) == (1, 0, 0, 0)
        await ours.commit()
        assert len(await stored(ours, ACCOUNTS)) == 1

    async def test_that_conflict_again_and_again_end_the_import(
        self, ours: AsyncConnection
    ) -> None:
        await self.failing(ours, "40P01", ATTEMPTS)
        with pytest.raises(TransactionConflict):
            await import_rows(ours, ACCOUNTS, account_body())
        await ours.commit()
        assert await stored(ours, ACCOUNTS) == []

    @pytest.mark.parametrize(
        ("code", "error"),
        # In its own transaction, an import has failed for good after a serialization failure.
        [("23514", IntegrityError), ("22000", DBAPIError), ("40001", DBAPIError)],
    )
    async def test_are_not_why_another_error_is_raised(
        self, ours: AsyncConnection, code: str, error: type[DBAPIError]
    ) -> None:
        await self.failing(ours, code, 1)
        with pytest.raises(error):
            await import_rows(ours, ACCOUNTS, account_body())


@every_resource
async def test_good_rows_are_not_written_where_bad_ones_keep_them_out(
    connection: AsyncConnection, entry: Entry
) -> None:
    (row,) = await bodies(connection, entry, 1)
    lines, _ = check(entry, as_csv([row]))
    before = await stored(connection, entry)
    for skips_bad, created in ((False, 0), (True, 1)):
        options = Options(skips_bad=skips_bad)
        report = await write(connection, importable_of(entry), pieces(lines), options, has_bad=True)
        assert report.created == created
        assert len(await stored(connection, entry)) == len(before) + created
