"""The page on SDKs shows the commands that the tests run, in the versions of the locks."""

import json
import re
from pathlib import Path

import pytest

from tests.sdks.generators import SDKS, WHOLE, Sdk
from tests.sdks.guide import PAGE, sections

ROOT = Path(__file__).parents[2]
SDK_TESTS = ROOT / "tests" / "sdks"


def test_it_shows_each_sdk() -> None:
    assert list(sections()) == [sdk.title for sdk in (*SDKS, WHOLE)]


@pytest.mark.parametrize("sdk", [*SDKS, WHOLE], ids=lambda sdk: sdk.folder)
def test_its_command_is_the_one_that_is_tested(sdk: Sdk) -> None:
    assert sections()[sdk.title].commands == [sdk.command]


def test_its_versions_are_those_that_are_tested() -> None:
    lock = (SDK_TESTS / "requirements.lock").read_text()
    tested = dict(re.findall(r"^([a-z-]+)==(\S+)", lock, re.MULTILINE))
    tested |= json.loads((SDK_TESTS / "package.json").read_text())["devDependencies"]
    named = re.findall(r"([@a-z/-]+)(?:==|@)(\d[\d.]+)", PAGE)
    assert len(named) == 4
    assert [(name, version) for name, version in named if tested[name] != version] == []


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
