"""Time limits of one transaction: for the server and the driver, and for nothing after it."""

import pytest
from sqlalchemy import URL, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.postgres.engine import make_engine
from app.postgres.time_limits import lifting_limits, set_time_limit, waiting_longer
from tests.applications import make_settings

SHOW = text("SHOW statement_timeout")


async def test_holds_for_the_transaction_alone(database: URL) -> None:
    engine = make_engine(database, make_settings(pool_size=1))
    async with AsyncSession(engine) as session:
        raw = await (await session.connection()).get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        assert (await session.scalar(SHOW), driver._config.command_timeout) == ("5s", 6)
        await session.execute(select(set_time_limit(90)))
        with pytest.raises(ZeroDivisionError):
            async with waiting_longer(session, 90):
                assert (await session.scalar(SHOW), driver._config.command_timeout) == ("90s", 91)
                raise ZeroDivisionError
        await session.rollback()
        assert (await session.scalar(SHOW), driver._config.command_timeout) == ("5s", 6)
    await engine.dispose()


async def test_are_all_lifted_for_one_transaction(database: URL) -> None:
    shown = text(
        "SELECT ARRAY[current_setting('statement_timeout'), current_setting('lock_timeout'),"
        " current_setting('idle_in_transaction_session_timeout')]"
    )
    engine = make_engine(database, make_settings(pool_size=1))
    async with AsyncSession(engine) as session:
        await session.execute(lifting_limits())
        assert await session.scalar(shown) == ["0", "0", "0"]
        await session.commit()
        assert await session.scalar(shown) == ["5s", "2s", "10s"]
    await engine.dispose()
