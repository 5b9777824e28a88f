"""Single statements and their turn for a connection."""

import asyncio

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from app.database import statements as statements_module
from app.database.statements import Turn
from app.errors import Overloaded
from tests.conftest import running_app


class TestTurn:
    async def test_first_come_first_served(self) -> None:
        turn = Turn(2)
        served: list[int] = []

        async def take(number: int) -> None:
            async with turn:
                served.append(number)
                for _ in range(3):
                    await asyncio.sleep(0)

        await asyncio.gather(*(take(number) for number in range(20)))
        assert served == list(range(20))

    async def test_who_waits_too_long_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statements_module, "PATIENCE", 0.01)
        turn = Turn(1)
        async with turn:
            with pytest.raises(Overloaded):
                async with turn:
                    pass
        async with turn:  # and takes no place with it
            pass

    async def test_who_goes_away_takes_no_place_with_it(self) -> None:
        turn = Turn(1)

        async def take() -> None:
            async with turn:
                pass

        async with turn:
            waiting = [asyncio.create_task(take()) for _ in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
        await waiting[1]
        async with turn:
            pass

    async def test_a_failure_inside_gives_the_place_back(self) -> None:
        turn = Turn(1)
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                async with turn:
                    raise ValueError("no")


class TestStatements:
    async def test_each_is_committed(self, database: URL) -> None:
        async with running_app(database) as app:
            statements = app.state.statements
            await statements.execute(text("CREATE TABLE marks (mark int)"))
            await statements.execute(text("INSERT INTO marks VALUES (:mark)"), {"mark": 7})
            assert await statements.scalar(text("SELECT mark FROM marks")) == 7

    async def test_a_transaction_is_all_or_nothing(self, database: URL) -> None:
        async with running_app(database, pool_size=1) as app:
            statements = app.state.statements
            await statements.execute(text("CREATE TABLE marks (mark int)"))
            with pytest.raises(DBAPIError, match="division by zero"):
                async with statements.begin() as session:
                    await session.execute(text("INSERT INTO marks VALUES (1)"))
                    await session.execute(text("SELECT 1 / 0"))
            async with statements.begin() as session:
                await session.execute(text("INSERT INTO marks VALUES (2)"))
            assert await statements.scalar(text("SELECT sum(mark) FROM marks")) == 2

    async def test_more_callers_than_connections_are_all_served(self, database: URL) -> None:
        async with running_app(database, pool_size=2) as app:
            statements = app.state.statements
            asked = [
                statements.scalar(text("SELECT CAST(:n AS int)"), {"n": n}) for n in range(100)
            ]
            assert await asyncio.gather(*asked) == list(range(100))
