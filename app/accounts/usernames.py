"""Usernames: the field, which refuses what shows nothing and what changes how others are shown."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from app.resources.fields import Stripped, fault

# Control characters, line and paragraph separators, and those that change the direction of text.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Anything but white space, the characters that Unicode calls default ignorable (fillers, selectors
# and characters without width), and two more that have no ink.
_VISIBLE: Final = re.compile(
    r"[^\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def _check_username(value: str) -> str:
    if _CONTROL.search(value):
        raise fault("invalid_format", "Must hold no control characters.")
    if not _VISIBLE.search(value):
        raise fault("invalid_format", "Must hold a visible character.")
    return value


Username = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="With a visible character and without control characters",
        examples=["ada"],
        # White space at the ends, which is removed, may be control characters.
        json_schema_extra={
            "pattern": r"^[^\x00-\x08\x0e-\x1b\x7f]*[^\x00-\x20\x7f][^\x00-\x08\x0e-\x1b\x7f]*$"
        },
    ),
    Stripped,
    AfterValidator(_check_username),
]
