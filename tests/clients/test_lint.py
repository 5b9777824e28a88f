"""The OpenAPI document passes the strictest rules of redocly and spectral, and Node can read it."""

import json
from pathlib import Path

import pytest

from tests.api.test_openapi_document import PATTERNS
from tests.clients.conftest import run_tool
from tests.programs import find_program

# All rules, except for those that ask for tags in alphabetical order, for a mail address, and for a
# URL of the licence (OpenAPI 3.1 allows either a URL or an identifier).
RULES = """\
extends: [[spectral:oas, all]]
rules: {openapi-tags-alphabetical: off, contact-properties: off, license-url: off}
"""
pytestmark = pytest.mark.slow


def test_redocly_finds_nothing(npm_tools: Path, document_path: Path) -> None:
    output = run_tool(
        *(npm_tools / "redocly", "lint", "--extends=recommended-strict", "--format=json"),
        document_path,
        REDOCLY_TELEMETRY="off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )
    found, _ = json.JSONDecoder().raw_decode(output, output.index("{"))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, output


def test_spectral_finds_nothing(npm_tools: Path, document_path: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    severity = "--fail-severity=hint"
    output = run_tool(npm_tools / "spectral", "lint", "--ruleset", rules, severity, document_path)
    assert "No results with a severity of 'hint' or higher found!" in output


def test_javascript_reads_every_pattern() -> None:
    program = "for (const pattern of JSON.parse(process.argv[1])) new RegExp(pattern, 'u')"
    run_tool(find_program("node", "nodejs"), "--eval", program, json.dumps(sorted(PATTERNS)))
