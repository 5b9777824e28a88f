"""openapi-python-client generates a typed client with every operation of the document."""

import sys
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from tests.clients.conftest import HERE, ROUND_TRIP, called_operations, operations, run_tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def generated(
    sdk_python: Path, document_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory of the generated client and of the program that uses it."""
    home = tmp_path_factory.mktemp("python") / "client"
    tools = sdk_python.parent
    run_tool(
        *[tools / "openapi-python-client", "generate", "--fail-on-warning", "--meta", "setup"],
        *["--path", document_path, "--output-path", home],
        *["--config", HERE / "python" / "config.yml"],
        cwd=home.parent,
        PATH=f"{tools}:/usr/bin:/bin",  # it formats with the ruff in the same directory
    )
    copy(HERE / "python" / "round_trip.py", home)
    return home


def test_values_of_sorts_have_names(generated: Path) -> None:
    models = generated / "satchel_client" / "models"
    assert 'CREATED_DESC = "-created"' in (models / "list_accounts_sort.py").read_text()
    for path in models.glob("*.py"):
        assert "VALUE_" not in path.read_text(), path.name


def test_client_and_its_use_are_strictly_typed(generated: Path, sdk_python: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", sdk_python]
    run_tool(*mypy, "satchel_client", "round_trip.py", cwd=generated)


async def test_every_operation_of_the_round_trip_works(
    generated: Path, sdk_python: Path, guarded_server: tuple[str, str], document: dict[str, Any]
) -> None:
    requests = run_tool(sdk_python, "round_trip.py", *guarded_server, cwd=generated).splitlines()

    assert called_operations(document, requests) == operations(document, ROUND_TRIP)
