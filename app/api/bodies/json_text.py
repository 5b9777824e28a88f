"""Parses JSON bodies strictly, into plain values in which faults are marked."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from app.api.bodies.values import (
    NOT_TEXT,
    OUT_OF_RANGE,
    TOO_MANY_ROWS,
    Refused,
    is_text,
    mark_repeated,
    safe_name,
)
from app.errors import MalformedBody
from app.resources.batches import MAX_ROWS

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 100
MAX_VALUES: Final = 1000
# Of a batch, whose rows are limited themselves. A valid row has no more than a dozen.
MAX_BATCH_VALUES: Final = 32 * MAX_ROWS


# Escapes that are not text: NUL and surrogates.
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")
# A string, an empty array or object, or a mark. A string without an end matches up to the end of
# the text. Otherwise the pattern would be tried again at each quote, which takes quadratic time.
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|\[[ \t\r\n]*+\]|\{[ \t\r\n]*+\}|[\[\]{},]', re.DOTALL
)
# Of a value: its name, its own two, and a comma.
_TOKENS_OF_A_VALUE = 4
# The rows of a batch are in an array of an object.
_DEPTH_OF_ROWS = 2
_TOO_DEEP = "The body is nested deeper than 64 levels."


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text; numbers with a fraction come as Decimal.

    Errors: MalformedBody.
    """
    try:
        source = raw.decode()
        containers = source.count("[") + source.count("{")
        if containers > MAX_DEPTH or containers + source.count(",") >= MAX_VALUES:
            _check_size(source, MAX_VALUES)
        return _decode(source)
    except (ValueError, RecursionError):
        raise MalformedBody from None


def parse_batch(raw: bytes) -> Any:
    """The same of the JSON text of a batch, which may have more values.

    Of far too many rows none is made. Errors: MalformedBody.
    """
    try:
        source = raw.decode()
        if sum(map(source.count, "[{,")) >= MAX_BATCH_VALUES:
            rows = _check_size(source, MAX_BATCH_VALUES)
            if rows > MAX_ROWS:
                return {"data": TOO_MANY_ROWS}
        value = _decode(source)
    except (ValueError, RecursionError):
        raise MalformedBody from None
    _check_depth([value], 0)
    return value


def _decode(source: str) -> Any:
    value = _DECODER.decode(source)
    if "\\" in source and _SUSPICIOUS_ESCAPE.search(source):
        value = _only_text(value)
    # Pydantic reads attributes of a body, and would treat these as objects.
    return "" if isinstance(value, Refused | Decimal) else value


def _check_size(source: str, max_values: int) -> int:
    """Refuse a text of too many values or levels before any of them is made.

    Returns the number of rows, if it is a batch; it is enough to know that they are too many.
    """
    depth, values, rows = 0, 1, 1
    for position, match in enumerate(_TOKEN.finditer(source)):
        token = match[0]
        level = depth + (token[0] in "[{")
        # A comma is followed by a value, and so is the bracket of what is not empty.
        values += token in ",[{"
        rows += token == "," and depth == _DEPTH_OF_ROWS
        if level > MAX_DEPTH:
            raise MalformedBody(_TOO_DEEP)
        if values > max_values or position >= _TOKENS_OF_A_VALUE * max_values:
            if max_values == MAX_BATCH_VALUES and rows > MAX_ROWS:
                break
            raise MalformedBody(
                f"The body has more than {max_values:,} values, objects and arrays counted."
            )
        depth += (token in "[{") - (token in "]}")
    return rows


def _check_depth(value: Any, level: int) -> None:
    """Refuse a value of too many levels. It is quicker than to look for them in the text."""
    if level > MAX_DEPTH:
        raise MalformedBody(_TOO_DEEP)
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            _check_depth(inner, level + 1)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        mark_repeated(found, (name for name, _ in pairs))
    return found


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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_pairs,
    parse_int=_parse_int,
    parse_float=_parse_float,
    parse_constant=_refuse_constant,
)


def _only_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {safe_name(name): _only_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_only_text(inner) for inner in value]
    return NOT_TEXT if isinstance(value, str) and not is_text(value) else value
