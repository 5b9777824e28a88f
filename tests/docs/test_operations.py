"""The operator's page: its commands do what it says, on a real server and an empty database."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import URL

from tests.databases import execute
from tests.programs import find_program
from tests.servers import free_port
from tests.waiting import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
DONE = "@@done@@"

pytestmark = pytest.mark.slow


class Command(NamedTuple):
    line: str
    output: str


def commands(page: str) -> list[Command]:
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append(Command(line, output))
    return found


def pattern(output: str) -> str:
    return ".*".join(re.escape(piece) for piece in output.split("..."))


class Shell:
    """One shell for the whole page, so that jobs and variables last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def run(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\necho {DONE}\n".encode())
        output = ""
        async with asyncio.timeout(PATIENCE):
            while not output.endswith(f"{DONE}\n"):
                read = await self.process.stdout.readline()
                assert read, f"the shell ended: {output}"
                output += read.decode()
        return output.removesuffix(f"{DONE}\n")


async def test_its_commands_print_what_it_says(
    database: URL, empty_database: URL, tmp_path: Path
) -> None:
    find_program("curl", "curl")
    await execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    page = PAGE.read_text().replace("8000", str(free_port()))
    for host, named in (("db", database), ("new", empty_database)):
        url = named.render_as_string(hide_password=False)
        page = page.replace(f"postgresql://satchel:secret@{host}.example.com/satchel", url)
    process = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    shell = Shell(process)
    try:
        told = commands(page)
        assert len(told) > 15
        for command in told:
            expected = pattern(command.output.rstrip())
            output = await shell.run(command.line)
            for _ in range(50):
                # The line of a request is written after its answer was sent.
                if not command.line.startswith("grep") or re.fullmatch(expected, output.rstrip()):
                    break
                await asyncio.sleep(0.1)
                output = await shell.run(command.line)
            assert re.fullmatch(expected, output.rstrip(), re.DOTALL), (command.line, output)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def test_every_variable_that_it_names_is_there() -> None:
    listed = (PAGE.parents[1] / ".env.example").read_text()
    for row in re.findall(r"^\| (`[A-Z_`, ]+`) \|", PAGE.read_text(), re.MULTILINE):
        for name in re.findall("[A-Z_]+", row):
            assert f"\n{name}=" in listed


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target
