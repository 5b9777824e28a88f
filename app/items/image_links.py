"""Image links: what is accepted as the URL of an image."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import Url

from app.resources.fields import fault

# Of ASCII, what no URL contains: control characters, the space, and "<>\\^`{|}.
_NO = r"\x00-\x20\x22\x3c\x3e\x5c\x5e\x60\x7b-\x7d\x7f"
# Url() accepts http:///host as http://host, which other parsers do not.
_HTTP_URL = re.compile(rf"https?://[^\s{_NO}/][^\s{_NO}]*", re.IGNORECASE)


def _check_image_link(value: Any) -> Any:
    """Checked, never fetched, and stored unchanged: a normalized link may be another link."""
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > 1000:
        raise fault("too_long", "Must have at most 1000 characters.")
    try:
        if not _HTTP_URL.fullmatch(value) or not Url(value).host:
            raise ValueError
    except ValueError:
        raise fault("invalid_format", "Must be an http or https URL.") from None
    return value


ImageLink = Annotated[
    str,
    BeforeValidator(_check_image_link),
    WithJsonSchema(
        {
            "type": "string",
            # Without `format: uri`, by which validators refuse letters beyond ASCII.
            "pattern": rf"^[hH][tT][tT][pP][sS]?://[^{_NO}/][^{_NO}]*$",
            "maxLength": 1000,
            "examples": ["https://example.com/lamp.jpg"],
        }
    ),
]
