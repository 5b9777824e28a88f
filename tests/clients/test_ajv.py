"""What the service takes and answers is valid to ajv, a validator for JavaScript."""

import json
from pathlib import Path

import httpx
import pytest

from tests.api.taken import BODIES, answers, taken
from tests.clients.conftest import HERE, run_tool
from tests.programs import find_program

pytestmark = pytest.mark.slow


def refused(values: dict[str, list[str]], npm_tools: Path, document_path: Path) -> str:
    path = document_path.with_name("values.json")
    path.write_text(json.dumps(values))
    return run_tool(find_program("node", "nodejs"), HERE / "ajv.mjs", document_path, path)


def test_what_is_taken_is_valid(npm_tools: Path, document_path: Path) -> None:
    bodies = {name: [one for each in taken(name).values() for one in each] for name in BODIES}
    assert refused(bodies, npm_tools, document_path) == ""


async def test_what_is_answered_is_valid(
    client: httpx.AsyncClient, npm_tools: Path, document_path: Path
) -> None:
    assert refused(await answers(client), npm_tools, document_path) == ""


def test_what_is_wrong_is_not(npm_tools: Path, document_path: Path) -> None:
    wrong = {"AccountCreateForm": ['{"email": "ada@example.com", "username": "a", "dob": "1"}']}
    assert refused(wrong, npm_tools, document_path).startswith("AccountCreateForm")
