"""Statements run again without SQLAlchemy. `OneConnection` compares all rows of other tests."""

import asyncio
import enum
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    URL,
    Boolean,
    Column,
    Date,
    Enum,
    Executable,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    Uuid,
    any_,
    bindparam,
    event,
    func,
    insert,
    literal,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import IteratorResult
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    MultipleResultsFound,
    ResourceClosedError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.postgres.engine import make_engine
from app.postgres.statements import Statements
from tests.applications import make_settings
from tests.databases import execute, shown


class Color(enum.Enum):
    RED = "r"


class Shouted(TypeDecorator[str]):
    """Converts values on the way in and on the way out."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: object) -> str | None:
        return None if value is None else value.upper()

    def process_result_value(self, value: str | None, _dialect: object) -> str | None:
        return None if value is None else f"{value}!"


VALUES: dict[str, tuple[Any, Any]] = {
    "id": (Uuid, UUID(int=7)),
    "text_id": (Uuid(as_uuid=False), str(UUID(int=8))),
    "price": (Numeric(12, 2), Decimal("9.90")),
    "weight": (Numeric(asdecimal=False), 1.5),
    "born": (Date, date(1815, 12, 10)),
    "made": (TIMESTAMP(timezone=True), datetime(2026, 1, 2, tzinfo=UTC)),
    "lasts": (Interval, timedelta(days=2, seconds=3)),
    "raw": (LargeBinary, b"\0\xff"),
    "flag": (Boolean, True),
    "number": (Integer, -5),
    "json": (JSON, {"a": [1, None]}),
    "jsonb": (JSONB, {"b": "ü"}),
    "color": (Enum(Color, native_enum=False), Color.RED),
    "native": (Enum("x", "y", name="native"), "x"),
    "names": (ARRAY(String), ["a", None]),
    "prices": (ARRAY(Numeric(12, 2)), [Decimal("1.10")]),
    "shouted": (Shouted, "hey"),
}
THINGS = Table(
    "things",
    MetaData(),
    *(Column(name, kind, primary_key=name == "id") for name, (kind, _) in VALUES.items()),
    Column("counted", Integer, default=lambda: 1),
)
ROW = {name: value for name, (_, value) in VALUES.items()}
BY_ID = select(THINGS).where(THINGS.c.id == bindparam("wanted"))
SLEEP = select(func.pg_sleep(bindparam("seconds")), func.pg_backend_pid().label("pid"))
OF_IDS = select(THINGS.c.id).where(THINGS.c.id == any_(bindparam("wanted", type_=ARRAY(Uuid))))
WANTED = {"wanted": ROW["id"]}


@pytest.fixture
async def statements(database: URL) -> AsyncIterator[Statements]:
    engine = make_engine(database, make_settings(pool_size=1, statement_timeout=1), autocommit=True)
    async with engine.begin() as connection:
        await connection.run_sync(THINGS.metadata.create_all)
        await connection.execute(insert(THINGS), ROW)
    statements = Statements(engine)
    yield statements
    await statements.close()


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> list[Executable]:
    """The statements that SQLAlchemy itself ran."""
    ran = []
    original = AsyncConnection.execute

    async def execute(self: AsyncConnection, statement: Executable, *more: Any) -> Any:
        ran.append(statement)
        return await original(self, statement, *more)

    monkeypatch.setattr(AsyncConnection, "execute", execute)
    return ran


async def run_twice(
    statements: Statements, statement: Executable, parameters: Any = None
) -> tuple[Any, Any]:
    """What SQLAlchemy makes of the statement, and what is made of it the second time."""
    outcomes = []
    for _ in range(2):
        try:
            result = await statements.execute(statement, parameters)
            outcomes.append(shown(result.all()))
        except Exception as error:
            outcomes.append(shown(error))
    return outcomes[0], outcomes[1]


async def error_of(statements: Statements, statement: Executable, parameters: Any) -> Any:
    """The error of SQLAlchemy itself."""
    async with statements._engine.connect() as connection:
        with pytest.raises(StatementError) as raised:
            await connection.execute(statement, parameters)
    return shown(raised.value)


async def pid_of(statements: Statements) -> int:
    """The process of the only connection."""
    result = await statements.execute(SLEEP, {"seconds": 0.0})
    return int(result.one().pid)


class TestSecondRuns:
    async def test_convert_each_type(
        self, statements: Statements, usual: Sequence[Executable]
    ) -> None:
        conditions = [
            THINGS.c[name] == bindparam(f"of_{name}", type_=THINGS.c[name].type)
            for name in VALUES
            if name not in {"json", "native"}  # without an equality, or a cast
        ]
        statement = select(THINGS).where(*conditions)
        parameters = {f"of_{name}": value for name, value in ROW.items()}
        del parameters["of_json"], parameters["of_native"]
        first, second = await run_twice(statements, statement, parameters)
        assert first == second
        assert len(first) == 1
        assert usual == [statement]

    @pytest.mark.parametrize("count", [0, 1, 2])
    async def test_give_one_row_as_the_first_run_does(
        self, statements: Statements, count: int
    ) -> None:
        statement = select(func.generate_series(1, bindparam("count", type_=Integer)).label("n"))

        async def ask() -> tuple[Any, ...]:
            result = await statements.execute(statement, {"count": count})
            try:
                row = result.one_or_none()
            except MultipleResultsFound as error:
                return (str(error),)
            with pytest.raises(ResourceClosedError):
                result.one_or_none()
            return (type(row), row, row and row.n, row and row._mapping["n"])

        first = await ask()
        assert await ask() == first

    async def test_give_results_as_documented(self, statements: Statements) -> None:
        await statements.execute(BY_ID, WANTED)
        result = await statements.execute(BY_ID, WANTED)
        assert isinstance(result, IteratorResult)
        row = result.one()
        assert row.price == row._mapping[THINGS.c.price] == row._mapping["price"] == ROW["price"]
        assert row._asdict() == {**ROW, "shouted": "HEY!", "counted": 1}
        assert (await statements.execute(BY_ID, WANTED)).mappings().one()["born"] == ROW["born"]
        assert (await statements.execute(BY_ID, WANTED)).scalars().all() == [ROW["id"]]
        assert (await statements.execute(BY_ID, {"wanted": UUID(int=1)})).first() is None
        rows = select(union(select(literal(1)), select(literal(2))).subquery())
        for _ in range(2):
            with pytest.raises(MultipleResultsFound):
                (await statements.execute(rows)).one()

    @pytest.mark.parametrize(
        "statement",
        [
            select(func.count()).select_from(THINGS),
            union(select(literal(1)), select(literal(2))).order_by(text("1")),
            update(THINGS).values(number=THINGS.c.number + 1).returning(THINGS.c.id),
            OF_IDS,
            text("SELECT 1 AS one"),
        ],
    )
    async def test_need_no_compiler(
        self, statements: Statements, statement: Any, usual: Sequence[Executable]
    ) -> None:
        parameters = {"wanted": [ROW["id"]]} if statement is OF_IDS else None
        first, second = await run_twice(statements, statement, parameters)
        assert first == second
        assert len(usual) == 1

    async def test_keep_the_values_of_their_own_statement(self, statements: Statements) -> None:
        """SQLAlchemy compiles two statements once that differ only in values."""
        for _ in range(3):
            for number in range(3):
                same = NUMBERED[number]
                assert (await statements.execute(same)).scalar() == number

    async def test_take_the_parameters_of_each(self, statements: Statements) -> None:
        for wanted, expected in ((ROW["id"], 1), (UUID(int=1), 0)) * 2:
            found = await statements.execute(BY_ID, {"wanted": wanted})
            assert len(found.all()) == expected

    async def test_follow_a_change_of_the_schema(
        self, statements: Statements, database: URL
    ) -> None:
        statement = select(THINGS.c.number)
        await run_twice(statements, statement)
        await execute(database, "ALTER TABLE things ALTER number TYPE bigint")
        assert (await statements.execute(statement)).scalar() == ROW["number"]


NUMBERED = [select(literal(number)) for number in range(3)]


class TestWhatIsCompiledEachTime:
    @pytest.mark.parametrize(
        ("statement", "parameters"),
        [
            (select(THINGS.c.id).where(THINGS.c.number.in_([-5, 1])), None),
            (
                select(THINGS.c.id).where(THINGS.c.number.in_(bindparam("n", expanding=True))),
                {"n": [-5]},
            ),
            (BY_ID.execution_options(anything=1), WANTED),
            (select(literal(1)).where(bindparam(None, 1, callable_=lambda: 1) == 1), None),
            (update(THINGS).values(number=1), None),
            (
                insert(THINGS)
                .from_select(["id"], select(bindparam("new", type_=Uuid)))
                .returning(THINGS.c.id),
                {"new": UUID(int=99)},
            ),
        ],
    )
    async def test_runs_as_ever(
        self,
        statements: Statements,
        statement: Executable,
        parameters: Any,
        usual: Sequence[Executable],
    ) -> None:
        for _ in range(2):
            with_rows = await statements.execute(statement, parameters)
            assert not isinstance(with_rows, IteratorResult)
            await statements.execute(text("DELETE FROM things WHERE number IS NULL"))
        assert usual.count(statement) == 2

    async def test_other_parameters(
        self, statements: Statements, usual: Sequence[Executable]
    ) -> None:
        statement = select(literal(1) + bindparam("more", 1, type_=Integer))
        for parameters, expected in ((None, 2), ({"more": 2}, 3), (None, 2)):
            assert (await statements.execute(statement, parameters)).scalar() == expected
        assert len(usual) == 2

    async def test_what_somebody_listens_to(self, statements: Statements) -> None:
        seen: list[str] = []

        def record(_c: object, _cursor: object, sql: str, *_: object) -> None:
            seen.append(sql)

        def record_execution(cursor: Any, sql: str, *_: object) -> None:
            seen.append(sql)

        engine = statements._engine.sync_engine
        await run_twice(statements, BY_ID, WANTED)
        for target, name, listener in (
            (engine, "before_cursor_execute", record),
            (engine, "do_execute", record_execution),
        ):
            seen.clear()
            event.listen(target, name, listener)
            await run_twice(statements, BY_ID, WANTED)
            event.remove(target, name, listener)
            assert len(seen) == 2
            await run_twice(statements, BY_ID, WANTED)
            assert len(seen) == 2

    async def test_what_is_logged(
        self, statements: Statements, caplog: pytest.LogCaptureFixture
    ) -> None:
        await run_twice(statements, BY_ID, WANTED)
        with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
            await statements.close()  # connections look at the level when they are made
            caplog.clear()
            await run_twice(statements, BY_ID, WANTED)
            assert sum("FROM things" in record.getMessage() for record in caplog.records) == 2


class TestErrors:
    async def test_of_the_database(self, statements: Statements) -> None:
        statement = (
            insert(THINGS).values(id=bindparam("new", type_=Uuid), counted=1).returning(THINGS.c.id)
        )
        await statements.execute(statement, {"new": UUID(int=99)})
        with pytest.raises(IntegrityError) as second:
            await statements.execute(statement, {"new": UUID(int=99)})
        assert shown(second.value) == await error_of(statements, statement, {"new": UUID(int=99)})
        assert "things_pkey" in str(second.value)

    @pytest.mark.parametrize("wanted", ["no uuid", 5, object()])
    async def test_of_values(self, statements: Statements, wanted: Any) -> None:
        for statement, good in ((BY_ID, ROW["id"]), (OF_IDS, [ROW["id"]])):
            await statements.execute(statement, {"wanted": good})
            with pytest.raises(StatementError) as second:
                await statements.execute(statement, {"wanted": wanted})
            assert shown(second.value) == await error_of(statements, statement, {"wanted": wanted})

    async def test_of_a_missing_parameter(self, statements: Statements) -> None:
        await statements.execute(BY_ID, WANTED)
        with pytest.raises(StatementError) as raised:
            await statements.execute(BY_ID)
        assert isinstance(raised.value.orig, InvalidRequestError)

    async def test_of_a_lost_connection(self, statements: Statements, database: URL) -> None:
        handled: list[bool] = []
        engine = statements._engine.sync_engine
        event.listen(engine, "handle_error", lambda context: handled.append(context.is_disconnect))
        pid = await pid_of(statements)
        waiting = asyncio.create_task(statements.execute(SLEEP, {"seconds": 0.9}))
        while not waiting.done():
            await execute(database, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(DBAPIError) as raised:
            await waiting
        assert raised.value.connection_invalidated
        assert handled == [True]
        assert await pid_of(statements) != pid

    async def test_of_time(self, statements: Statements) -> None:
        await statements.execute(SLEEP, {"seconds": 0.0})
        with pytest.raises(DBAPIError) as raised:
            await statements.execute(SLEEP, {"seconds": 60.0})
        assert "statement timeout" in str(raised.value)
        assert (await statements.execute(SLEEP, {"seconds": 0.0})).all()

    async def test_who_goes_away_leaves_no_statement_behind(self, statements: Statements) -> None:
        pid = await pid_of(statements)
        waiting = asyncio.create_task(statements.execute(SLEEP, {"seconds": 0.9}))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await pid_of(statements) != pid


async def test_a_statement_that_is_gone_is_forgotten(statements: Statements) -> None:
    for number in range(10):
        inner = select(THINGS.c.number, literal(number).label("n")).subquery()
        await run_twice(statements, select(inner.c.n, func.max(inner.c.number)).group_by(inner.c.n))
    del inner
    await statements.close()
    gc.collect()
    # SQLAlchemy's own cache keeps the statement of its first run.
    assert len(statements.compiled._compiled) <= 1
