"""docs/sdks.md, taken apart: for each SDK its command, and the files that it shows."""

import re
from pathlib import Path
from typing import NamedTuple

PAGE = (Path(__file__).parents[2] / "docs" / "sdks.md").read_text()


class Section(NamedTuple):
    commands: list[str]
    files: dict[str, str]


def sections() -> dict[str, Section]:
    found = {}
    for part in PAGE.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        commands = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        files = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        commands = [re.sub(r" \\\n +", " ", one).strip() for one in commands]
        found[title] = Section(commands, dict(files))
    return found
