"""Conditional requests (RFC 9110, 13): If-Match for writes, If-None-Match for reads."""

import re
from typing import Annotated

from fastapi import Depends, Request

from app.database.writes import Precondition
from app.errors import Fault, MalformedHeader

# An entity tag is any quoted text; the versions that this service gives out are whole numbers.
_TAG = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_TAGS = re.compile(rf"\s*(?:,\s*)*{_TAG}(?:\s*,\s*(?:{_TAG})?)*\s*")
_EACH_TAG = re.compile(_TAG)
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


async def get_precondition(request: Request) -> Precondition:
    """What If-Match asks of the resource. Errors: MalformedHeader."""
    lines = request.headers.getlist("if-match")
    if not lines:
        return Precondition(missing=request.app.state.settings.require_if_match)
    tags = _parse_tags("If-Match", lines)
    if tags is None:
        return Precondition()
    # A weak tag never matches here, and one that is no version cannot be current.
    strong = (tag for weak, tag in tags if not weak)
    return Precondition(frozenset(int(tag) for tag in strong if _VERSION.fullmatch(tag)))


PreconditionDep = Annotated[Precondition, Depends(get_precondition)]


async def get_known_versions(request: Request) -> frozenset[str]:
    """The versions that the client has already, from If-None-Match; `*` stands for any.

    Errors: MalformedHeader.
    """
    lines = request.headers.getlist("if-none-match")
    if not lines:
        return frozenset()
    tags = _parse_tags("If-None-Match", lines)
    return frozenset("*" if tags is None else (tag for _, tag in tags))


KnownVersionsDep = Annotated[frozenset[str], Depends(get_known_versions)]


def _parse_tags(header: str, lines: list[str]) -> list[tuple[str, str]] | None:
    """The entity tags of a list, each with its weakness mark; None for `*`."""
    text = ", ".join(lines)
    if text.strip() == "*":
        return None
    if not _TAGS.fullmatch(text):
        detail = 'Must be * or a list of entity tags such as "3".'
        raise MalformedHeader(errors=[Fault(header=header, code="invalid_format", detail=detail)])
    return _EACH_TAG.findall(text)
