"""Runs the console blocks of a page in a shell, and compares what they print with the page."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.waiting import PATIENCE

DONE = "@@done@@"


class Command(NamedTuple):
    line: str  # several, where a backslash continues it
    output: str


def commands(page: str) -> list[Command]:
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, output = re.split(r"(?<!\\)\n", part, maxsplit=1)
            found.append(Command(line, output))
    return found


def pattern(output: str) -> str:
    return ".*".join(re.escape(piece) for piece in output.split("..."))


class Shell:
    """One shell for the whole page, so that jobs and variables last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def require(self, command: Command) -> None:
        """Run a command of the page, which must print what the page says."""
        expected = pattern(command.output.rstrip())
        output = await self.run(command.line)
        for _ in range(50):
            # The line of a request is written after its answer was sent.
            if not command.line.startswith("grep") or re.fullmatch(expected, output.rstrip()):
                break
            await asyncio.sleep(0.1)
            output = await self.run(command.line)
        assert re.fullmatch(expected, output.rstrip(), re.DOTALL), (command.line, output)

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


@asynccontextmanager
async def open_shell(
    folder: Path, *programs: Path, environment: dict[str, str] | None = None
) -> AsyncIterator[Shell]:
    """A shell that finds `satchel`, and the programs in these folders."""
    path: Sequence[str | Path] = (Path(sys.executable).parent, *programs, os.environ["PATH"])
    process = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, **(environment or {}), "PATH": ":".join(map(str, path))},
        start_new_session=True,
    )
    try:
        yield Shell(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
