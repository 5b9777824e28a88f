"""External tools, installed once, and the OpenAPI document that they read."""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from sqlalchemy import URL

from app.main import create_app
from tests.applications import make_settings
from tests.factories import make_key
from tests.programs import find_program
from tests.servers import Server, server_environment

HERE = Path(__file__).parent
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def run_tool(*command: object, cwd: Path = HERE, seconds: float = 900, **environment: str) -> str:
    """Run a program and return its output. If it fails, the test fails with that output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=seconds,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        pytest.fail(f"{command[0]} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


def install_npm_tools(folder: Path, config: pytest.Config) -> Path:
    """The programs of the folder's package-lock.json, installed again if it has changed."""
    npm = find_program("npm", "npm")
    lock, modules = folder / "package-lock.json", folder / "node_modules"
    installed = modules / ".package-lock.json"  # npm writes it last
    assert config.cache is not None
    # One of the test processes installs.
    with FileLock(config.cache.mkdir("npm") / f"{folder.name}.lock"):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            run_tool(npm, "ci", "--no-audit", "--no-fund", cwd=folder, seconds=1800)
    return modules / ".bin"


def install_python(lock: Path, config: pytest.Config) -> Path:
    """The Python of an environment with these requirements, which conflict with ours."""
    assert config.cache is not None
    name = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = config.cache.mkdir("sdk") / name
    python, made = home / "bin" / "python", home / "made"
    with FileLock(home.with_suffix(".lock")):
        if not made.exists():
            venv.create(home, clear=True, symlinks=True)
            install = [sys.executable, "-m", "scripts.install", "--python", python]
            run_tool(*install, lock, cwd=HERE.parent.parent, seconds=1800)
            made.touch()
    return python


@pytest.fixture(scope="session")
def npm_tools(pytestconfig: pytest.Config) -> Path:
    return install_npm_tools(HERE, pytestconfig)


@pytest.fixture(scope="session")
def sdk_python(pytestconfig: pytest.Config) -> Path:
    return install_python(HERE / "requirements-sdk.lock", pytestconfig)


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """The OpenAPI document of the application."""
    return create_app(make_settings()).openapi()


@pytest.fixture(scope="session")
def document_path(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(document))
    return path


# The tags of the operations that the programs with generated clients call: of resources that
# refer to each other, and of all kinds of links. The client of any other resource is generated the
# same way, and its types are checked.
ROUND_TRIP = {"accounts", "items", "favorites", "reservations", "wishes"}


def operations(document: dict[str, Any], tags: Container[str] | None = None) -> set[str]:
    """All operations, such as `GET /accounts/{account_id}`, or those with one of these tags."""
    return {
        f"{method.upper()} {template}"
        for template, methods in document["paths"].items()
        for method in METHODS & methods.keys()
        if tags is None or methods[method]["tags"][0] in tags
    }


def called_operations(document: dict[str, Any], requests: Sequence[str]) -> set[str]:
    """The operations of requests such as `GET /accounts/7`."""
    patterns = {
        operation: re.compile(re.sub(r"\{\w+\}", "[^/]+", operation))
        for operation in operations(document)
    }
    return {
        operation
        for operation, pattern in patterns.items()
        if any(pattern.fullmatch(request) for request in requests)
    }


@pytest.fixture
async def guarded_server(database: URL, start_server: Callable[..., Server]) -> tuple[str, str]:
    """The URL of a server that requires credentials, and a key with the scope `write`."""
    environment = {**server_environment(database), "AUTH_MODE": "on"}
    key = await make_key(database, "write")
    server: Server = await asyncio.to_thread(start_server, environment)
    return server.url, key
