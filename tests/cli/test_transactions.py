"""What a command does to the database runs again if it is refused because of others."""

import asyncio

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from app.auth.key_format import prefix_of
from app.cli import commands
from tests.cli.test_commands import ask
from tests.databases import execute
from tests.refusals import AT_COMMIT, AT_ONCE, COUNT, refusals

pytestmark = pytest.mark.usefixtures("logs_restored", "directory")
PREFIXES = "SELECT array_agg(prefix) FROM api_keys"


def create_key() -> Result:
    arguments = ("keys", "create", "--name", "ci", "--scope", "read")
    return CliRunner().invoke(commands.app, arguments)


@pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
def test_three_times_at_most(named_database: URL, timing: str) -> None:
    asyncio.run(execute(named_database, *refusals("api_keys", 4, timing=timing)))
    refused = create_key()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "The database cannot be used" in refused.stderr
    assert asyncio.run(ask(named_database, COUNT)) == 4
    assert asyncio.run(ask(named_database, PREFIXES)) is None


def test_and_only_its_last_result_is_shown_and_stored(named_database: URL) -> None:
    asyncio.run(execute(named_database, *refusals("api_keys", 3)))
    created = create_key()
    assert created.exit_code == 0, created.output
    assert asyncio.run(ask(named_database, PREFIXES)) == [prefix_of(created.stdout.strip())]
