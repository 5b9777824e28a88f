"""Each SDK, generated once in a folder of its own, with files of the guide and a program."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import pytest
from sqlalchemy import URL

from app.main import create_app
from tests.applications import make_settings
from tests.clients.conftest import install_npm_tools, install_python, run_tool
from tests.factories import make_key
from tests.programs import find_program
from tests.sdks.compilers import Tools
from tests.sdks.generators import DOCUMENT, SDKS, batch_entry
from tests.sdks.guide import sections
from tests.servers import Server, server_environment

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tools(pytestconfig: pytest.Config) -> Tools:
    """What the locks of this folder install, and a folder for the caches of compilers."""
    assert pytestconfig.cache is not None
    npm = install_npm_tools(HERE, pytestconfig)
    python = install_python(HERE / "requirements.lock", pytestconfig)
    [jar] = python.parents[1].glob("lib/python*/site-packages/*/openapi-generator.jar")
    return Tools(npm, python, jar, pytestconfig.cache.mkdir("compilers"))


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    return create_app(make_settings()).openapi()


@pytest.fixture(scope="session")
def homes(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each SDK, by its title."""
    top = tmp_path_factory.mktemp("sdks")
    (top / DOCUMENT).write_text(json.dumps(create_app(make_settings()).sdk_document))
    batch = []
    for sdk in SDKS:
        home = top / sdk.folder
        home.mkdir()
        copy(top / DOCUMENT, home)
        for name, text in sections()[sdk.title].files.items():
            (home / name).write_text(text)
        if (HERE / "programs" / sdk.folder).exists():
            copytree(HERE / "programs" / sdk.folder, home, dirs_exist_ok=True)
        entry = batch_entry(sdk, top)
        if entry is None:
            (home / "node_modules").symlink_to(tools.npm.parent)
            _, program, *arguments = sdk.command.split()
            run_tool(tools.npm / program, *arguments, cwd=home, seconds=120)
        else:
            batch.append(top / f"{sdk.folder}.json")
            batch[-1].write_text(json.dumps(entry))
    java = [find_program("java", "default-jdk-headless"), "-jar", tools.generator_jar]
    # One process for all, since starting it takes longer than an SDK.
    run_tool(*java, "batch", "--threads", "2", *batch, cwd=top, seconds=300)
    return {sdk.title: top / sdk.folder for sdk in SDKS}


@pytest.fixture
async def guarded_server(database: URL, start_server: Callable[..., Server]) -> tuple[Server, str]:
    """A server that requires credentials, and a key with the scope `write`."""
    key = await make_key(database, "write")
    environment = {**server_environment(database), "AUTH_MODE": "on", "LOG_LEVEL": "info"}
    return await asyncio.to_thread(start_server, environment), key
