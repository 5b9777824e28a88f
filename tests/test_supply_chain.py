"""What a production image holds can be listed, and locks name packages by their hashes."""

import json
import re
from pathlib import Path

import pytest

from scripts.locks import LOCKS
from tests.clients.conftest import run_tool
from tests.programs import find_program

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([a-z0-9.\-]+)(?:\[[a-z,]+\])?==([^\s;]+)", re.MULTILINE)


@pytest.mark.slow
def test_the_list_of_parts_is_that_of_the_lock(tmp_path: Path) -> None:
    make = find_program("make", "make")
    lists = [tmp_path / "one" / "sbom.json", tmp_path / "two.json"]
    for path in lists:
        run_tool(make, "-s", "sbom", f"SBOM={path}", cwd=ROOT, seconds=300)
    text = lists[0].read_text()
    assert lists[1].read_text() == text  # no time and no chance in it
    found = json.loads(text)
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "satchel")
    pins = PIN.findall((ROOT / "requirements/production.lock").read_text())
    assert len(pins) > 40
    assert [(part["name"], part["version"]) for part in found["components"]] == pins
    for part in found["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["externalReferences"][0]["hashes"]
    for path in (ROOT, tmp_path, Path.home()):
        assert f"{path}/" not in text
    assert "file:" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_each_package_by_hashes_and_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = [block for block in re.split(r"\n(?=[a-z])", text) if PIN.match(block)]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
