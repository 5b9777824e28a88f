"""The OpenAPI document passes the strictest rules of the two linters that there are for it."""

import json
from pathlib import Path

import pytest

from tests.clients.conftest import run_tool

# Its own selection and all the rules that it leaves out, except for an order of tags that is not
# that of reading, a mail address, and a URL of the licence beside its identifier (3.1: either).
RULES = """\
extends: [[spectral:oas, all]]
rules: {openapi-tags-alphabetical: off, contact-properties: off, license-url: off}
"""
pytestmark = pytest.mark.slow


def test_redocly_finds_nothing(npm_tools: Path, document_path: Path) -> None:
    said = run_tool(
        *(npm_tools / "redocly", "lint", "--extends=recommended-strict", "--format=json"),
        document_path,
        REDOCLY_TELEMETRY="off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE="true",
    )
    found, _ = json.JSONDecoder().raw_decode(said, said.index("{"))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, said


def test_spectral_finds_nothing(npm_tools: Path, document_path: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    severity = "--fail-severity=hint"
    said = run_tool(npm_tools / "spectral", "lint", "--ruleset", rules, severity, document_path)
    assert "No results with a severity of 'hint' or higher found!" in said
