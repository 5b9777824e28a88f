"""The table of timeouts has the values of the settings and the constants."""

import re
from pathlib import Path

import pytest

from app.config import MODE_DEFAULTS, Mode, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
TABLE = PAGE.partition("\n## Timeouts\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (?!what|---)[^|]+ \| ([^|]+) \| ([^|]+) \|", TABLE, re.MULTILINE)


def default_of(place: str) -> float | None:
    """The default in seconds of a setting or constant; None if it is not a single number."""
    constant = re.fullmatch(r"`(\w+)` in `(.+)`", place)
    if constant is None:
        name = place.strip("`").lower()
        production = MODE_DEFAULTS[Mode.production]
        return float(production.get(name, Settings.model_fields[name].default))
    name, path = constant.groups()
    value = re.search(rf'\b{name}(?:: \w+)? ?= ?"?([\d.]+|{{)', (ROOT / path).read_text())
    assert value is not None, f"{path} has no {name}"
    return None if value[1] == "{" else float(value[1])


@pytest.mark.parametrize(("value", "place"), ROWS)
def test_each_row_has_the_value_in_the_code(value: str, place: str) -> None:
    default = default_of(place)
    assert default is None or default in map(float, re.findall(r"[\d.]+", value))


def test_all_timeouts_are_listed() -> None:
    constants = {
        name
        for path in (ROOT / "app").rglob("*.py")
        for name in re.findall(
            r"^(\w+_(?:TIMEOUT|GRACE)_SECONDS)\b", path.read_text(), re.MULTILINE
        )
    }
    settings = {
        name.upper() for name in Settings.model_fields if name.endswith(("_timeout", "_grace"))
    }
    assert len(ROWS) > 20
    assert constants | settings <= set(re.findall(r"`(\w+)`", TABLE))
