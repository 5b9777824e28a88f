"""What Satchel asks of PostgreSQL and other engines with its wire may lack, tried for
`satchel check`. docs/scale.md says what they say of it.
"""

from typing import Any, Final

from asyncpg import PostgresError
from sqlalchemy.ext.asyncio import AsyncEngine

# What is done with a construct, and statements that have it and store nothing.
USES: Final = {
    "searches": "SELECT to_tsvector('simple', 'a')::TSVECTOR @@ to_tsquery('simple', 'a')",
    "idempotency keys": "SELECT pg_try_advisory_xact_lock(0)",
    "changes": "SELECT id FROM accounts WHERE false FOR NO KEY UPDATE;"
    " SELECT id FROM accounts WHERE false FOR UPDATE",
    "sweeps": "SELECT key FROM idempotency_keys WHERE false FOR UPDATE SKIP LOCKED",
    "links": "INSERT INTO wishes SELECT * FROM wishes WHERE false"
    " ON CONFLICT DO NOTHING RETURNING account_id",
    "batches": "SAVEPOINT one; RELEASE SAVEPOINT one; SAVEPOINT two; ROLLBACK TO SAVEPOINT two",
    "exports": "COPY (SELECT 1) TO STDOUT",
    "imports": "CREATE TEMPORARY TABLE tried (n int) ON COMMIT DROP; TRUNCATE tried; ANALYZE tried",
    "estimated counts": "EXPLAIN (FORMAT JSON) SELECT 1",
}
# SQLSTATEs of what an engine does not have: features, syntax, functions, types.
_LACKS: Final = ("0A000", "42601", "42883", "42704")


async def find_lacking(engine: AsyncEngine) -> dict[str, PostgresError]:
    """The uses that the database does not allow, and with which error. Errors: the driver's."""
    found = {}
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for use, statements in USES.items():
            transaction = driver.transaction()
            await transaction.start()
            try:
                await _run(driver, statements)
            except PostgresError as error:
                if error.sqlstate in _LACKS:
                    found[use] = error
            finally:
                await transaction.rollback()
    return found


async def _run(driver: Any, statements: str) -> None:
    """Each by itself, as some engines want it."""
    for statement in statements.split(";"):
        if statement.startswith("COPY"):
            await driver.copy_from_query("SELECT 1", output=_ignore)
        else:
            await driver.execute(statement)


async def _ignore(_piece: bytes) -> None:
    pass
