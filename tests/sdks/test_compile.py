"""Each SDK is made by the command of the guide, and compiles unchanged with the guide's example."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import run_tool
from tests.programs import find_program
from tests.sdks.compilers import COMPILERS, Tools, compile_java
from tests.sdks.generators import DOCUMENT, SDKS, WHOLE

pytestmark = [pytest.mark.slow, pytest.mark.sdks]


def source(folder: Path) -> str:
    return "".join(path.read_text(errors="ignore") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("title", [sdk.title for sdk in SDKS])
def test_it_has_every_operation(homes: dict[str, Path], title: str) -> None:
    document = json.loads((homes[title] / DOCUMENT).read_text())
    operations = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    # The same name in any spelling: list_accounts, listAccounts, ListAccounts.
    written = source(homes[title] / "satchel").replace("_", "").lower()
    assert {name for name in operations if name.replace("_", "") not in written} == set()


@pytest.mark.parametrize("title", COMPILERS)
def test_it_compiles_with_the_example_of_the_guide(
    homes: dict[str, Path], tools: Tools, title: str
) -> None:
    COMPILERS[title](homes[title], tools)


@pytest.mark.parametrize(
    ("title", "path", "expected"),
    [
        ("Kotlin", "kotlin/org/openapitools/client/models/PriceInput.kt", "actualInstance: Any?"),
        ("Rust", "models/price_input.rs", "Number(f64)"),
    ],
)
def test_what_is_not_compiled_can_hold_a_price(
    homes: dict[str, Path], title: str, path: str, expected: str
) -> None:
    [found] = homes[title].glob(f"satchel/src/**/{path}")
    assert expected in found.read_text()


def test_the_whole_document_compiles_with_a_flag(
    tools: Tools, document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    java = [find_program("java", "default-jdk-headless"), "-jar", tools.generator_jar]
    run_tool(*java, *shlex.split(WHOLE.command)[1:], cwd=tmp_path, seconds=120)
    compile_java(tmp_path, tools)
