"""The operator's page: its commands do what it says, on a real server and an empty database."""

import re
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.databases import execute
from tests.docs.console import commands, open_shell
from tests.programs import find_program
from tests.servers import free_port

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"

pytestmark = pytest.mark.slow


async def test_its_commands_print_what_it_says(
    database: URL, empty_database: URL, tmp_path: Path
) -> None:
    find_program("curl", "curl")
    await execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    page = PAGE.read_text().replace("8000", str(free_port()))
    for host, named in (("db", database), ("new", empty_database)):
        url = named.render_as_string(hide_password=False)
        page = page.replace(f"postgresql://satchel:secret@{host}.example.com/satchel", url)
    told = commands(page)
    assert len(told) > 15
    async with open_shell(tmp_path) as shell:
        for command in told:
            await shell.require(command)


def test_every_variable_that_it_names_is_there() -> None:
    listed = (PAGE.parents[1] / ".env.example").read_text()
    for row in re.findall(r"^\| (`[A-Z_`, ]+`) \|", PAGE.read_text(), re.MULTILINE):
        for name in re.findall("[A-Z_]+", row):
            assert f"\n{name}=" in listed


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target
