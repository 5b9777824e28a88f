"""docs/authentication.md: its commands do what it says, and its settings are taken."""

import asyncio
import os
import re
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL

from app.config import Settings
from tests.programs import find_program
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE

PAGE = (Path(__file__).parent.parent / "docs" / "authentication.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_settings_are_taken(tmp_path: Path) -> None:
    [block] = blocks("ini")
    (tmp_path / ".env").write_text(block)
    settings = Settings(_env_file=tmp_path / ".env")
    lines = dict(line.split("=") for line in block.splitlines())
    assert {name: str(getattr(settings, name.lower())) for name in lines} == lines
    assert settings.jwt_issuer is not None


@pytest.mark.slow
async def test_the_commands_run(
    database: URL, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    find_program("curl", "curl")
    bash = find_program("bash", "bash")
    environment = {**server_environment(database), "AUTH_MODE": "on"}
    server: Server = await asyncio.to_thread(start_server, environment)
    script = "".join(blocks("sh")).replace("http://127.0.0.1:8000", server.url)
    scripts = sysconfig.get_path("scripts")
    done = await asyncio.to_thread(
        subprocess.run,
        [bash, "-euxo", "pipefail", "-c", script],
        env={**os.environ, **environment, "PATH": f"{scripts}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The schema is up to date.\n")
    assert done.stdout.count('{"data":[],"next_cursor":null,"count":null}') == 2
    assert len(set(re.findall(r"Revoked: (\w+);", done.stdout))) == 2
