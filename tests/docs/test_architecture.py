"""The page on the architecture agrees with the code: folders, paths and timeouts."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from app.config import MODE_DEFAULTS, Mode, Settings

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FOLDERS = dict(re.findall(r"^\| `(app/[\w/]+/)` \| (.+) \|$", PAGE, re.MULTILINE))
TIMEOUTS = PAGE.partition("\n## Timeouts\n")[2].partition("\n### ")[0]
ROWS = re.findall(r"^\| (?!what|---)[^|]+ \| ([^|]+) \| ([^|]+) \|", TIMEOUTS, re.MULTILINE)
PLACE = re.compile(r"`(\w+)` in `(.+)`")


def default_of(place: str) -> float | None:
    """The default in seconds of a setting or constant; None if it is not a single number."""
    constant = PLACE.fullmatch(place)
    if constant is None:
        name = place.strip("`").lower()
        production = MODE_DEFAULTS[Mode.production]
        return float(production.get(name, Settings.model_fields[name].default))
    name, path = constant.groups()
    value = re.search(rf'\b{name}(?:: \w+)? ?= ?"?([\d.]+|{{)', (ROOT / path).read_text())
    assert value is not None, f"{path} has no {name}"
    return None if value[1] == "{" else float(value[1])


def test_it_has_every_folder() -> None:
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in APP.rglob("*/__init__.py")}
    assert FOLDERS.keys() == packages - {"app/"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_described_as_in_its_docstring(folder: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()))
    assert docstring is not None
    assert FOLDERS[folder] == docstring.partition("\n")[0]


def test_its_paths_exist() -> None:
    paths = set(re.findall(r"`((?:app|tests|docs)/[^` ]*)`", PAGE))
    paths |= {f"docs/{target}" for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE)}
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_its_layers_are_those_that_are_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if each["name"] == "Layers")
    drawn = PAGE.partition("```text\n")[2].partition("```")[0].splitlines()
    assert [line.partition("  ")[0] for line in drawn] == layers


@pytest.mark.parametrize(("value", "place"), ROWS)
def test_a_timeout_has_the_value_in_the_code(value: str, place: str) -> None:
    default = default_of(place)
    assert default is None or default in map(float, re.findall(r"[\d.]+", value))


def test_all_timeouts_are_listed() -> None:
    constants = {
        (name, str(path.relative_to(ROOT)))
        for path in APP.rglob("*.py")
        for name in re.findall(r"^(\w+_SECONDS)\b", path.read_text(), re.MULTILINE)
    }
    settings = {
        name.upper()
        for name in Settings.model_fields
        if name.endswith(("_timeout", "_grace", "_delay"))
    }
    assert len(ROWS) > 20
    assert constants <= {found.groups() for _, place in ROWS if (found := PLACE.fullmatch(place))}
    assert settings <= {place.strip("`") for _, place in ROWS}
