"""The operator's page lists every event that the application logs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
ROW = re.compile(r"^\| `([^`]+)` \| (\w+) \| `(satchel\.\w+)` \| (.*?) \|", re.MULTILINE)


class Event(NamedTuple):
    name: str
    level: str
    logger: str


class Fields(NamedTuple):
    named: frozenset[str]
    has_more: bool


def logged_events() -> Iterator[tuple[Event, Fields]]:
    """The calls of `log` in all modules."""
    for path in (ROOT / "app").rglob("*.py"):
        logger = re.search(
            r'^log = structlog\.get_logger\("(.+)"\)$', path.read_text(), re.MULTILINE
        )
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log"), attr=level),
                    args=[ast.Constant(value=str(name))],
                    keywords=keywords,
                ):
                    assert logger is not None, path
                    named = {keyword.arg for keyword in keywords if keyword.arg is not None}
                    if level == "exception" or "exc_info" in named:
                        named = named - {"exc_info"} | {"exception"}
                    level = level.replace("exception", "error")
                    has_more = any(keyword.arg is None for keyword in keywords)
                    yield Event(name, level, logger[1]), Fields(frozenset(named), has_more)


def test_the_page_lists_exactly_the_events_that_are_logged() -> None:
    listed = {
        Event(name, level, logger): set(re.findall(r"`(\w+)`", fields))
        for name, level, logger, fields in ROW.findall(PAGE.read_text())
    }
    logged = list(logged_events())
    assert listed.keys() == {event for event, _ in logged}
    for event, fields in logged:
        assert fields.named <= listed[event], event
        assert fields.has_more or fields.named == listed[event], event
