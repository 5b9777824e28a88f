"""openapi-typescript and openapi-fetch generate a typed client for Node."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from tests.clients.conftest import HERE, ROUND_TRIP, operations, run_tool
from tests.programs import find_program

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compiled(
    npm_tools: Path, document_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The program, checked and compiled by `tsc --strict`."""
    home = tmp_path_factory.mktemp("typescript") / "client"
    copytree(HERE / "typescript", home)
    (home / "node_modules").symlink_to(npm_tools.parent)
    types = ["--default-non-nullable=false", "-o", home / "schema.mts"]
    run_tool(npm_tools / "openapi-typescript", document_path, *types, cwd=home)
    run_tool(npm_tools / "tsc", "--project", home, cwd=home)
    return home / "out" / "round_trip.mjs"


async def test_every_operation_of_the_round_trip_works(
    compiled: Path, guarded_server: tuple[str, str], document: dict[str, Any]
) -> None:
    called = run_tool(
        find_program("node", "nodejs"), compiled, *guarded_server, cwd=compiled.parent
    )

    assert set(called.splitlines()) == operations(document, ROUND_TRIP)
