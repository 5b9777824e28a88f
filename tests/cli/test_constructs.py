"""What `satchel check` says of databases that lack what Satchel asks of them."""

import pytest
from sqlalchemy import URL

from app.cli import constructs
from app.cli.checks import check_database
from app.cli.constructs import USES
from tests.applications import make_settings
from tests.databases import execute

SETTINGS = make_settings()


async def test_a_function_that_is_missing(database: URL) -> None:
    await execute(
        database,
        "ALTER FUNCTION pg_catalog.pg_try_advisory_xact_lock(bigint) RENAME TO renamed",
    )
    (error,) = await check_database(database, SETTINGS)
    assert error.startswith("The database cannot do idempotency keys (function ")
    assert error.endswith(" does not exist): see docs/scale.md.")


@pytest.mark.parametrize("use", USES)
async def test_a_construct_that_is_refused(
    database: URL, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """The others are tried nevertheless."""
    refused = "SELECT count(*) FROM accounts FOR UPDATE"
    monkeypatch.setitem(USES, use, refused)
    monkeypatch.setitem(USES, "another thing", refused)
    reason = "FOR UPDATE is not allowed with aggregate functions"
    assert await check_database(database, SETTINGS) == [
        f"The database cannot do {each} ({reason}): see docs/scale.md."
        for each in (use, "another thing")
    ]


async def test_syntax_that_is_refused(database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constructs, "USES", {"links": "SELECT 1 ON CONFLICT"})
    (error,) = await check_database(database, SETTINGS)
    assert error.startswith('The database cannot do links (syntax error at or near "ON")')
