"""Parses forms strictly, into plain fields in which faults are marked.

Each parser goes over its input once and in C, since a body of the largest size must not keep other
requests waiting.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from app.api.bodies.multipart import MAX_PARTS, split_multipart
from app.api.bodies.values import A_FILE, NOT_TEXT, mark_repeated
from app.errors import MalformedBody
from app.resources.fields import FormText

MAX_FORM_FIELDS: Final = MAX_PARTS

# A `%` that begins no escape stands for itself, as in `100%`. Each costs more than an escape does.
MAX_BARE_PERCENTS: Final = 1000
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_urlencoded(raw: bytes) -> dict[str, Any]:
    """The fields of an `application/x-www-form-urlencoded` body. Errors: MalformedBody."""
    if raw.count(b"&") >= MAX_FORM_FIELDS:
        raise MalformedBody("The form has more than 100 fields.")
    pairs = []
    try:
        for pair in raw.replace(b"+", b" ").split(b"&"):
            if pair:
                name, _, value = pair.partition(b"=")
                pairs.append((_unescape(name), _unescape(value)))
    except UnicodeDecodeError:
        raise MalformedBody from None
    return _form_fields(pairs)


def _unescape(text: bytes) -> str:
    """The text in which each `%41` is one byte. Errors: UnicodeDecodeError."""
    if b"%" in text:
        text = _BARE_PERCENT.sub(b"%25", text, count=MAX_BARE_PERCENTS)
        # Python's own escapes are decoded in C, and what is left of bare ones raises.
        text = text.replace(b"\\", rb"\\").replace(b"%", rb"\x")
        text = text.decode("unicode_escape").encode("latin-1")
    return text.decode()


def parse_multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a `multipart/form-data` body. Errors: MalformedBody."""
    try:
        pairs = [
            (part.name.decode(), None if part.is_file else part.content.decode())
            for part in split_multipart(raw, content_type)
        ]
    except UnicodeDecodeError:
        raise MalformedBody from None
    return _form_fields(pairs)


def _form_fields(pairs: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    """An empty value is null: HTML forms and Postman send one for a field that was left blank."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if value is None:
            fields[name] = A_FILE
        elif "\0" in value:
            fields[name] = NOT_TEXT
        else:
            fields[name] = FormText(value) if value else None
    if len(fields) < len(pairs):
        mark_repeated(fields, (name for name, _ in pairs))
    return fields
