"""Parses bodies strictly: JSON or a form becomes a plain dict, in which faults are marked."""

import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import FaultCode, MalformedBody
from app.resources.fields import FormText

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 100
MAX_FORM_FIELDS: Final = 100


class Refused:
    """Replaces an invalid value in a parsed body.

    No schema accepts it, so validation continues, finds the other faults too, and reports this one
    by its code.
    """

    __slots__ = ("code", "detail")

    def __init__(self, code: FaultCode, detail: str) -> None:
        self.code = code
        self.detail = detail


TWICE: Final = Refused("duplicate", "Given more than once.")
OUT_OF_RANGE: Final = Refused("too_large", "The number is out of range.")
NOT_TEXT: Final = Refused("invalid_format", "Holds a NUL or a lone surrogate.")
A_FILE: Final = Refused("wrong_type", "Must be a plain field, not a file.")
OTHER_ID: Final = Refused("read_only", "Must be the id of the path.")

# Escapes that are not text: NUL and surrogates.
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")
# A string without an end matches up to the end of the text. Otherwise the pattern would be tried
# again at each quote, which takes quadratic time.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text; numbers with a fraction come as Decimal.

    Errors: MalformedBody.
    """
    try:
        source = raw.decode()
        if source.count("[") + source.count("{") > MAX_DEPTH:
            _check_depth(source)
        value = json.loads(
            source,
            object_pairs_hook=_unique_pairs,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        raise MalformedBody from None
    if _SUSPICIOUS_ESCAPE.search(source):
        value = _only_text(value)
    # Pydantic reads attributes of a body, and would treat these as objects.
    return "" if isinstance(value, Refused | Decimal) else value


def _check_depth(source: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(source):
        token = match[0]
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            raise MalformedBody("The body is nested deeper than 64 levels.")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _mark_repeated(found, (name for name, _ in pairs))
    return found


def _mark_repeated(found: dict[str, Any], names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            found[name] = TWICE
        seen.add(name)


def _parse_int(digits: str) -> int | Refused:
    return int(digits) if len(digits) <= MAX_DIGITS else OUT_OF_RANGE


def _parse_float(digits: str) -> Decimal | Refused:
    if len(digits) > MAX_DIGITS:
        return OUT_OF_RANGE
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return OUT_OF_RANGE
    # No client means a number that a double cannot hold.
    return number if abs(number.adjusted()) <= 307 else OUT_OF_RANGE


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _only_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {safe_name(name): _only_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_only_text(inner) for inner in value]
    return NOT_TEXT if isinstance(value, str) and not is_text(value) else value


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def safe_name(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def parse_urlencoded(raw: bytes) -> dict[str, Any]:
    """The fields of an `application/x-www-form-urlencoded` body. Errors: MalformedBody."""
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise MalformedBody from None
    return _form_fields(pairs)


class _MultipartForm:
    """Takes the parts of a multipart body from the parser.

    Errors: KeyError of a part without a name, UnicodeDecodeError, MalformedBody of too many parts.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[str, str | None]] = []
        self.ended = False
        self._header = self._disposition = self._content = b""

    def on_part_begin(self) -> None:
        self._disposition = self._content = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = data[start:end].lower()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        if self._header == b"content-disposition":
            self._disposition = data[start:end]

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content = data[start:end]

    def on_part_end(self) -> None:
        if len(self.fields) == MAX_FORM_FIELDS:
            raise MalformedBody("The form has more than 100 fields.")
        _, options = parse_options_header(self._disposition)
        content = None if b"filename" in options else self._content.decode()
        self.fields.append((options[b"name"].decode(), content))

    def on_end(self) -> None:
        self.ended = True


def parse_multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a `multipart/form-data` body. Errors: MalformedBody.

    Uses the parser directly. Starlette's form would use the encoding that the client names, and
    accept a truncated body.
    """
    _, options = parse_options_header(content_type)
    form = _MultipartForm()
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
        )
        parser.write(raw)  # at once, so that each piece is complete
    except (KeyError, FormParserError, UnicodeDecodeError):
        raise MalformedBody from None
    if not form.ended:
        raise MalformedBody("The multipart body ends before its closing boundary.")
    return _form_fields(form.fields)


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
        _mark_repeated(fields, (name for name, _ in pairs))
    return fields
