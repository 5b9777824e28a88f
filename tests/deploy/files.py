"""Reads the files in deploy/, and what they must agree with."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from app.config import SECRETS, Settings, load_settings
from app.main import create_app
from app.serving.workers import EXIT_GRACE_SECONDS
from tests.applications import make_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# The port of the image; PORT sets another.
[IMAGE_PORT] = re.findall(r"\bPORT=(\d+)", (ROOT / "Dockerfile").read_text())

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(path.read_text()))


def paths_of_the_application() -> set[str]:
    return {each.path for each in create_app(make_settings()).routes if isinstance(each, Route)}


def settings_of(
    environment: Mapping[str, object], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Settings:
    """The settings of a container with these variables. Each must be a setting.

    folder: an empty one.
    """
    names = {name.upper() for name in Settings.model_fields}
    names |= {f"{name.upper()}_FILE" for name in SECRETS}
    assert environment.keys() <= names
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOST", "0.0.0.0")  # as the image has it
        for name, value in environment.items():
            patch.setenv(name, str(value))
        return load_settings()


def seconds_to_stop(settings: Settings) -> float:
    return settings.shutdown_delay + settings.shutdown_grace + EXIT_GRACE_SECONDS


def connections_of(settings: Settings) -> int:
    """To the database, at most."""
    return (settings.pool_size + settings.max_exports + 1) * settings.workers


def strings(value: object) -> Iterator[str]:
    """All texts in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
