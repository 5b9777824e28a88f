"""Conditional requests (RFC 9110, 13): If-Match and If-None-Match."""

import re
from dataclasses import replace
from operator import itemgetter
from typing import Annotated, Final

from fastapi import Depends, Request

from app.api.arguments import repeatable
from app.api.requests import header_values
from app.errors import Fault, MalformedHeader
from app.resources.fields import MAX_VERSION
from app.resources.preconditions import UNCONDITIONAL, Precondition

# An entity tag is any quoted text; the versions that this service gives out are whole numbers. The
# document has this pattern too, and not all engines read characters beyond ASCII in one.
_TAG: Final = r'(W/)?"([^\x00-\x20\x22\x7f]*)"'
# RFC 9110, 5.6.1: a list may have empty elements. The pattern matches each text in one way only;
# otherwise it would take exponential time to refuse a long one.
ENTITY_TAGS: Final = rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*"
_TAGS: Final = re.compile(ENTITY_TAGS)
_EACH_TAG: Final = re.compile(_TAG)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}")
MAX_TAGS: Final = 1000
_CONDITIONS: Final = frozenset({b"if-match", b"if-none-match"})


@repeatable
async def get_read_condition(request: Request) -> Precondition:
    """What If-Match and If-None-Match require of a row that is read. Errors: MalformedHeader."""
    if _CONDITIONS.isdisjoint(map(itemgetter(0), request.scope["headers"])):
        return UNCONDITIONAL
    return Precondition(
        _versions(request, "If-Match", absent=None, weak=False),
        _versions(request, "If-None-Match", absent=frozenset(), weak=True),
    )


@repeatable
async def get_precondition(request: Request) -> Precondition:
    """What they require of a row that is written. Errors: MalformedHeader."""
    condition = await get_read_condition(request)
    settings = request.scope["app"].state.settings
    if settings.require_if_match and "if-match" not in request.headers:
        return replace(condition, missing=True)
    return condition


@repeatable
async def get_versions_required(request: Request) -> bool:
    """Whether each row of a batch that is written needs its `version`."""
    required: bool = request.scope["app"].state.settings.require_if_match
    return required


@repeatable
async def get_absence(request: Request) -> bool:
    """Whether a link must not be there, as `If-None-Match: *` requires. Errors: MalformedHeader.

    A link has no entity tag, so that a list of tags never matches.
    """
    return _versions(request, "If-None-Match", absent=frozenset(), weak=True) is None


ReadConditionDep = Annotated[Precondition, Depends(get_read_condition)]
PreconditionDep = Annotated[Precondition, Depends(get_precondition)]
VersionsRequiredDep = Annotated[bool, Depends(get_versions_required)]
AbsenceDep = Annotated[bool, Depends(get_absence)]


def _versions(
    request: Request, header: str, *, absent: frozenset[int] | None, weak: bool
) -> frozenset[int] | None:
    """The versions that a header names; None for `*`, `absent` without the header.

    weak: whether weak tags count. Tags that are no version match no row.
    """
    lines = header_values(request, header.lower().encode())
    if not lines:
        return absent
    tags = _parse_tags(header, lines)
    if tags is None:
        return None
    named = (int(tag) for mark, tag in tags if (weak or not mark) and _VERSION.fullmatch(tag))
    return frozenset(version for version in named if version <= MAX_VERSION)


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
