"""What bodies and forms of any media type are parsed into: values, and marks of what is none."""

from collections.abc import Iterable
from typing import Any, Final

from app.errors import FaultCode
from app.resources.batches import MAX_ROWS


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
TOO_MANY_ROWS: Final = Refused("too_long", f"Must have at most {MAX_ROWS} values.")
OTHER_ID: Final = Refused("read_only", "Must be the id of the path.")


def mark_repeated(found: dict[str, Any], names: Iterable[str]) -> None:
    """Replace the values of names that are given more than once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            found[name] = TWICE
        seen.add(name)


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def safe_name(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
