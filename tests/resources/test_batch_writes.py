"""Batches of any resource: what depends on its facts, and on the size of its rows."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import EmailTaken, Problem, UnknownAccount
from app.resources import batch_rows, batch_writes
from app.resources.batches import BatchChange, RowVersion
from tests.api.batching import at_rows, create, send, stored, total, valid_bodies
from tests.applications import client_of
from tests.catalog import Entry, entry_of, every_resource
from tests.factories import create_account
from tests.resources.test_resource import GADGETS, many_sessions, session, values
from tests.responses import assert_problem

__all__ = ["session"]


class Gadget(BaseModel):
    """A row of which all columns are given."""

    code: str
    rank: int
    made: date
    owner_id: UUID | None = None


class Change(BatchChange):
    fields: dict[str, Any]

    def values(self) -> dict[str, Any]:
        return self.fields


def columns(fields: dict[str, Any]) -> dict[str, Any]:
    return {**values(), **fields}


def gadgets(*codes: str, **fields: Any) -> list[Gadget]:
    return [
        Gadget.model_validate({**values(number), "code": code, **fields})
        for number, code in enumerate(codes, 1)
    ]


async def insert(session: AsyncSession, *rows: Gadget) -> Sequence[UUID]:
    await batch_writes.create(session, GADGETS, rows, columns)
    statement = GADGETS.table.select().order_by(GADGETS.table.c.code)
    return [row.id for row in await session.execute(statement)]


async def change(session: AsyncSession, *changes: tuple[UUID, dict[str, Any]]) -> Sequence[str]:
    rows = [
        Change.model_validate({"id": str(row_id), "fields": fields}) for row_id, fields in changes
    ]
    return await batch_writes.update(
        session, GADGETS, rows, lambda fields: fields, versions_required=False
    )


class TestFaults:
    """A row that is refused for either of two reasons says which."""

    async def test_of_new_rows(self, session: AsyncSession) -> None:
        await insert(session, *gadgets("a", "b"))
        new, nowhere = gadgets("c", "b", "d", "a"), {"owner_id": uuid4()}
        with pytest.raises(EmailTaken) as taken:
            await batch_writes.create(session, GADGETS, new, columns)
        assert [fault["pointer"] for fault in taken.value.errors] == [
            "/data/1/email",
            "/data/3/email",
        ]
        # A reference is a fault of the body, which comes first.
        new[2] = new[2].model_copy(update=nowhere)
        with pytest.raises(UnknownAccount) as unknown:
            await batch_writes.create(session, GADGETS, new, columns)
        assert [fault["pointer"] for fault in unknown.value.errors] == ["/data/2/account_id"]

    async def test_of_changes(self, session: AsyncSession) -> None:
        first, second, third = await insert(session, *gadgets("a", "b", "c"))
        refused: list[tuple[list[tuple[UUID, dict[str, Any]]], type[Problem], list[int]]] = [
            ([(first, {"rank": 1}), (second, {"code": "c"})], EmailTaken, [1]),
            ([(second, {"code": "c"}), (third, {"owner_id": uuid4()})], UnknownAccount, [1]),
            ([(first, {"owner_id": uuid4()}), (uuid4(), {"owner_id": None})], UnknownAccount, [0]),
        ]
        for changes, problem, rows in refused:
            with pytest.raises(problem) as raised:
                await change(session, *changes)
            pointers = [fault["pointer"].split("/")[2] for fault in raised.value.errors]
            assert pointers == [str(row) for row in rows]
        texts = await change(session, (third, {"code": "d"}), (first, {}), (second, {"size": 5}))
        assert ['"code":"d"' in texts[0], '"size":null' in texts[1], '"size":5' in texts[2]] == [
            True
        ] * 3

    async def test_without_values_nothing_is_written(self, database: URL) -> None:
        async with many_sessions(database) as make:
            async with make() as session:
                ids = await insert(session, *gadgets("a", "b"))
            async with make() as session:
                texts = await change(session, *((row_id, {}) for row_id in ids))
            assert all('"version":1' in text for text in texts)
            async with make() as session:
                rows = [RowVersion.model_validate({"id": str(row_id)}) for row_id in ids]
                await batch_writes.delete(session, GADGETS, rows, versions_required=False)
            async with make() as session:
                found = await batch_writes.find(session, GADGETS, ids)
                assert found.missing == ids


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement writes as many rows as have 300 characters."""
    monkeypatch.setattr(batch_rows, "MAX_TEXT", 300)


@every_resource
class TestParts:
    """Of large rows, a statement writes some only; the batch stays one."""

    async def test_are_statements(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        small_parts: None,
        statements: list[str],
    ) -> None:
        sent = await valid_bodies(client, entry, 40)
        statements.clear()
        answer = await send(client, entry, "Create", sent)
        assert answer.status_code == 201, answer.text
        assert 1 < len(statements) < 40
        rows = answer.json()["data"]
        assert [row | body for row, body in zip(rows, sent, strict=True)] == rows
        changes = [{"id": row["id"], entry.free_text: "x" * 40} for row in rows]
        statements.clear()
        changed = (await send(client, entry, "Update", changes)).json()["data"]
        assert 2 < len(statements) < 40
        assert {(row[entry.free_text], row["version"]) for row in changed} == {("x" * 40, 2)}
        assert await stored(client, entry, rows) == changed

    async def test_are_all_or_nothing(
        self, committed_app: FastAPI, entry: Entry, small_parts: None
    ) -> None:
        async with client_of(committed_app) as client:
            before = await total(client, entry)
            sent = await valid_bodies(client, entry, 40)
            for name, parent in entry.parents().items():
                sent[5][name] = sent[38][name] = str(uuid4())
                answer = await send(client, entry, "Create", sent)
                faults = at_rows({f"/{name}": "not_found"}, 5, 38)
                assert_problem(answer, 422, parent.not_found, faults)
            if entry is entry_of("/accounts"):
                taken = (await create_account(client))["email"]
                sent[38]["email"] = taken
                answer = await send(client, entry, "Create", sent)
                assert_problem(answer, 409, "email_taken", {"/data/38/email": "not_unique"})
                before += 1
            assert await total(client, entry) == before


@every_resource
async def test_rows_that_are_locked_by_two_batches_wait_in_one_direction(
    patient_client: httpx.AsyncClient, entry: Entry
) -> None:
    rows = await create(patient_client, entry, 50)
    orders = (rows, rows[::-1])
    for turn in range(5):
        answers = [
            send(
                patient_client,
                entry,
                "Update",
                [{"id": row["id"], entry.free_text: f"{turn} {n}"} for row in orders[n % 2]],
            )
            for n in range(6)
        ]
        for answer in await asyncio.gather(*answers):
            assert answer.status_code == 200, answer.text
    versions = {row["version"] for row in await stored(patient_client, entry, rows)}
    assert versions == {31}
