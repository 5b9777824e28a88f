"""A resource follows from its facts, and facts that cannot hold are refused when it is made."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import MISSING, TypeAdapter
from sqlalchemy import (
    URL,
    Boolean,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable
from typing_extensions import TypedDict

from app.errors import AccountHasItems, EmailTaken, ItemNotFound, Problem, UnknownAccount
from app.models import Account, Base, Entity, table_of
from app.postgres.engine import make_engine
from app.postgres.sessions import request_session
from app.postgres.statements import Statements
from app.resources import inserts, reads, writes
from app.resources.filters import at_least
from app.resources.lists import PageQuery, fetch_rows
from app.resources.preconditions import Precondition
from app.resources.resource import Resource
from app.resources.times import Instant
from tests.applications import make_settings


class TestEntity(Entity):
    """Of a schema of its own, so that migrations know nothing of it."""

    __abstract__ = True
    __test__ = False
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Gadget(TestEntity):
    __tablename__ = "gadgets"

    code: Mapped[str] = mapped_column(Text, unique=True)
    rank: Mapped[int] = mapped_column(Integer)
    made: Mapped[date] = mapped_column(Date)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey(table_of(Account).c.id))
    size: Mapped[int | None] = mapped_column(Integer)
    weight: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    works: Mapped[bool | None] = mapped_column(Boolean)
    sold: Mapped[date | None] = mapped_column(Date)
    seen: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    __table_args__ = (
        Index(None, "created", "id"),
        Index(None, "rank", "id"),
        Index(None, "made", "id"),
        Index(None, "owner_id"),
        Index(None, "updated"),
    )


class WithoutIndex(TestEntity):
    __tablename__ = "gizmos"

    code: Mapped[str] = mapped_column(Text, unique=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(table_of(Account).c.id))

    __table_args__ = (Index(None, "created", "id"),)


class Part(TestEntity):
    __tablename__ = "parts"

    gadget_id: Mapped[UUID] = mapped_column(ForeignKey("gadgets.id"))


class GadgetRead(TypedDict):
    id: UUID
    code: str
    rank: int
    made: date
    owner_id: UUID | None
    size: int | None
    weight: Decimal | None
    works: bool | None
    sold: date | None
    seen: Instant | None
    created: Instant
    updated: Instant
    version: int


class WithExtra(GadgetRead):
    extra: dict[str, Any]


class GizmoRead(TypedDict):
    id: UUID
    code: str
    owner_id: UUID
    created: Instant
    updated: Instant
    version: int


class GizmoQuery(PageQuery):
    sort: Literal["created", "-created"] = "-created"


class WithUnknown(GadgetRead):
    nothing: str


class WithoutVersion(TypedDict):
    id: UUID
    code: str
    created: Instant
    updated: Instant


class GadgetQuery(PageQuery):
    sort: Literal["created", "-created", "rank", "-rank", "made", "-made", "code", "-code"] = (
        "-created"
    )
    rank_gte: int | MISSING = MISSING


class WithAnotherFilter(GadgetQuery):
    size_gte: int | MISSING = MISSING


class WithAnotherSort(PageQuery):
    sort: Literal["rank", "size"] = "rank"
    rank_gte: int | MISSING = MISSING


class ByUpdated(PageQuery):
    sort: Literal["updated", "-updated"] = "updated"
    rank_gte: int | MISSING = MISSING


C = table_of(Gadget).c
FACTS: dict[str, Any] = {
    "model": Gadget,
    "read": GadgetRead,
    "query": GadgetQuery,
    "not_found": ItemNotFound,
    "sorts": {"created": C.created, "rank": C.rank, "made": C.made, "code": C.code},
    "filters": {"rank_gte": at_least(C.rank)},
    "unique": {"code": EmailTaken},
    "references": {"owner_id": UnknownAccount},
    "dependents": {"fk_parts_gadget_id": AccountHasItems},
}
GADGETS: Resource[GadgetRead] = Resource(**FACTS)
BYTES = TypeAdapter(GadgetRead)


class TestFacts:
    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            ({"sorts": {"size": C.size}}, "size may be NULL"),
            ({"sorts": {"sold": C.sold}}, "sold may be NULL"),
            ({"sorts": {"id": C.id}}, "cursors cannot hold"),
            ({"read": WithExtra}, "JSON rows cannot hold"),
            ({"read": WithUnknown}, "differ in nothing"),
            ({"read": WithoutVersion}, "differ in version"),
            ({"unique": {"rank": EmailTaken}}, "no constraint uq_gadgets_rank"),
            ({"references": {"code": UnknownAccount}}, "no constraint fk_gadgets_code"),
            ({"dependents": {"fk_items_nobody": EmailTaken}}, "no constraint fk_items_nobody"),
            ({"dependents": {"fk_parts_gadget_id": EmailTaken}}, "email_taken must be a FaultCode"),
            ({"dependents": {}}, "fk_parts_gadget_id keeps rows of gadgets: it needs a problem"),
            ({"query": WithAnotherFilter}, "the filters differ in size_gte"),
            ({"filters": {}}, "the filters differ in rank_gte"),
            ({"sorts": {"rank": C.rank}}, "the sorts differ in -code, -created, -made, code"),
            ({"query": WithAnotherSort}, "the sorts differ in -code, "),
            (
                {"query": ByUpdated, "sorts": {"updated": C.updated}},
                r"needs Index\(None, 'updated', 'id'\)",
            ),
        ],
    )
    def test_that_cannot_hold_are_refused(self, facts: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            Resource(**(FACTS | facts))

    def test_a_foreign_key_needs_an_index(self) -> None:
        columns = table_of(WithoutIndex).c
        message = r"owner_id needs Index\(None, 'owner_id', 'created', 'id'\)"
        with pytest.raises(TypeError, match=message):
            Resource(
                WithoutIndex,
                GizmoRead,
                GizmoQuery,
                ItemNotFound,
                sorts={"created": columns.created},
                unique={"code": EmailTaken},
                references={"owner_id": UnknownAccount},
            )


@pytest.fixture
async def session(database: URL) -> AsyncIterator[AsyncSession]:
    """A session whose writes are all in one transaction."""
    async with many_sessions(database) as make, make() as session, session.begin():
        yield session


def many_sessions(database: URL) -> Any:
    return _Sessions(database)


class _Sessions:
    """Makes sessions of requests on a database that has the table."""

    def __init__(self, database: URL) -> None:
        self._database = database

    async def __aenter__(self) -> Callable[[], Any]:
        engine = create_async_engine(self._database, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(CreateTable(table_of(Gadget)))
        self._statements = Statements(make_engine(self._database, make_settings(), autocommit=True))
        return lambda: request_session(self._statements)

    async def __aexit__(self, *_: object) -> None:
        await self._statements.close()


def values(number: int = 1, **changed: Any) -> dict[str, Any]:
    fields = {"code": f"g{number}", "rank": number, "made": date(2026, 1, number)}
    nothing = dict.fromkeys(("owner_id", "size", "weight", "works", "sold", "seen"))
    return {**fields, **nothing, **changed}


FULL = {
    "size": -7,
    "weight": Decimal("0.50"),
    "works": False,
    "sold": date(1999, 12, 31),
    "seen": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
}


class TestRows:
    @pytest.mark.parametrize("fields", [{}, FULL, {"code": 'a "b"'}])
    async def test_of_lists_are_the_bytes_of_a_row_alone(
        self, session: AsyncSession, fields: dict[str, Any]
    ) -> None:
        row = await inserts.create(session, GADGETS, values(**fields))
        rows = await fetch_rows(session, GADGETS.listing, PageQuery())
        assert rows.text.encode() == BYTES.dump_json(row)
        assert await reads.get(session, GADGETS, row["id"]) == row

    @pytest.mark.parametrize("sort", ["rank", "-rank", "made", "-made", "code", "created"])
    async def test_come_once_each_by_every_sort(self, session: AsyncSession, sort: str) -> None:
        for number in (2, 5, 1, 4, 3):
            await inserts.create(session, GADGETS, values(number))
        query, found = PageQuery(sort=sort, limit=2), []
        for _ in range(3):
            rows = await fetch_rows(session, GADGETS.listing, query)
            found += [row["code"] for row in json.loads(f"[{rows.text}]")]
            query = PageQuery(sort=sort, limit=2, cursor=rows.next_cursor or MISSING)
        in_order = [f"g{number}" for number in (1, 2, 3, 4, 5)]
        expected = ["g2", "g5", "g1", "g4", "g3"] if sort == "created" else in_order
        assert found == (expected[::-1] if sort.startswith("-") else expected)

    async def test_are_filtered(self, session: AsyncSession) -> None:
        for number in (1, 2, 3):
            await inserts.create(session, GADGETS, values(number))
        query = GadgetQuery(rank_gte=2, count="exact")
        rows = await fetch_rows(session, GADGETS.listing, query)
        assert rows.count == 2


class TestRefusedInserts:
    """One that is refused for either of two reasons says which."""

    async def test_alone(self, database: URL) -> None:
        async with many_sessions(database) as make:
            async with make() as session:
                await inserts.create(session, GADGETS, values())
            refused: list[tuple[dict[str, Any], type[Problem]]] = [
                ({}, EmailTaken),
                ({"code": "other", "owner_id": uuid4()}, UnknownAccount),
            ]
            for changed, problem in refused:
                with pytest.raises(problem):
                    async with make() as session:
                        await inserts.create(session, GADGETS, values(**changed))

    async def test_together(self, database: URL) -> None:
        async with many_sessions(database) as make:

            async def insert_one(changed: dict[str, Any]) -> Any:
                try:
                    async with make() as session:
                        return (await inserts.create(session, GADGETS, values(**changed)))["code"]
                except (EmailTaken, UnknownAccount) as problem:
                    return type(problem)

            changes: list[dict[str, Any]] = [{"code": f"g{n % 3}"} for n in range(9)]
            changes += [{"code": f"x{n}", "owner_id": uuid4()} for n in range(3)]
            found = await asyncio.gather(*map(insert_one, changes))
        assert sorted(one for one in found[:9] if isinstance(one, str)) == ["g0", "g1", "g2"]
        assert found[:9].count(EmailTaken) == 6
        assert found[9:] == [UnknownAccount] * 3

    async def test_in_a_transaction(self, session: AsyncSession) -> None:
        await inserts.create(session, GADGETS, values())
        with pytest.raises(EmailTaken):
            async with session.begin_nested():
                await inserts.create(session, GADGETS, values())
        with pytest.raises(UnknownAccount):
            await inserts.create(session, GADGETS, values(2, owner_id=uuid4()))


class TestUpdates:
    async def test_say_which_constraint_refuses_them(self, session: AsyncSession) -> None:
        first, second = [
            (await inserts.create(session, GADGETS, values(number)))["id"] for number in (1, 2)
        ]
        for changed, problem in (
            ({"code": "g1"}, EmailTaken),
            ({"owner_id": uuid4()}, UnknownAccount),
        ):
            with pytest.raises(problem):
                async with session.begin_nested():
                    await writes.update(session, GADGETS, second, changed, Precondition())
        known = Precondition(frozenset({1}))
        row = await writes.update(session, GADGETS, first, {"owner_id": None, "rank": 9}, known)
        assert (row["rank"], row["owner_id"], row["version"]) == (9, None, 2)

    async def test_of_a_row_that_is_not_there_tell_the_fault_of_the_body_first(
        self, session: AsyncSession
    ) -> None:
        for changed, problem in (
            ({"owner_id": uuid4()}, UnknownAccount),
            ({"owner_id": None}, ItemNotFound),
        ):
            with pytest.raises(problem):
                await writes.update(session, GADGETS, uuid4(), changed, Precondition())
