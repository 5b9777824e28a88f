"""Conditional requests (RFC 9110, 13): If-Match for writes, If-None-Match for reads."""

import re
from typing import Annotated, Final

from fastapi import Depends, Request

from app.errors import Fault, MalformedHeader
from app.resources.fields import MAX_VERSION
from app.resources.preconditions import Precondition

# An entity tag is any quoted text; the versions that this service gives out are whole numbers.
_TAG: Final = r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
# RFC 9110, 5.6.1: a list may have empty elements. The pattern matches each text in one way only;
# otherwise it would take exponential time to refuse a long one.
ENTITY_TAGS: Final = rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*"
_TAGS: Final = re.compile(ENTITY_TAGS)
_EACH_TAG: Final = re.compile(_TAG)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}")
MAX_TAGS: Final = 1000


async def get_precondition(request: Request) -> Precondition:
    """The condition of the If-Match header. Errors: MalformedHeader."""
    lines = request.headers.getlist("if-match")
    if not lines:
        return Precondition(missing=request.app.state.settings.require_if_match)
    tags = _parse_tags("If-Match", lines)
    if tags is None:
        return Precondition()
    # A weak tag never matches here, and one that is no version cannot be current.
    versions = (int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))
    return Precondition(frozenset(version for version in versions if version <= MAX_VERSION))


PreconditionDep = Annotated[Precondition, Depends(get_precondition)]


async def get_known_versions(request: Request) -> frozenset[str]:
    """The versions that the client has already, from If-None-Match: quoted, as in an ETag, or `*`.

    Errors: MalformedHeader.
    """
    lines = request.headers.getlist("if-none-match")
    if not lines:
        return frozenset()
    tags = _parse_tags("If-None-Match", lines)
    return frozenset("*" if tags is None else (f'"{tag}"' for _, tag in tags))


KnownVersionsDep = Annotated[frozenset[str], Depends(get_known_versions)]


def _parse_tags(header: str, lines: list[str]) -> list[tuple[str, str]] | None:
    """The entity tags of a list, each with its weakness mark; None for `*`."""
    text = ", ".join(lines)
    if text.strip(" \t") == "*":
        return None
    tags: list[tuple[str, str]] = _EACH_TAG.findall(text) if _TAGS.fullmatch(text) else []
    if not 1 <= len(tags) <= MAX_TAGS:
        detail = 'Must be * or a list of at most 1000 entity tags such as "3".'
        raise MalformedHeader(errors=[Fault(header=header, code="invalid_format", detail=detail)])
    return tags
