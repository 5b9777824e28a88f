"""Phone numbers: the field, which converts what people write to E.164."""

import re
import unicodedata
from typing import Annotated, Any

import phonenumbers
from phonenumbers import re_util
from pydantic import BeforeValidator, Field, ValidationInfo

from app.resources.fields import fault

# The library has more patterns than Python's `re` keeps compiled. Without its own cache, numbers of
# many countries cost ten times as much as those of one.
re_util.enable_pattern_cache()

# Digits of any script, and the marks that people group them with. The parser would accept more, and
# silently drop what it cannot read: words, extensions, a second number.
_WRITTEN = re.compile(r"\(?[+\uff0b]?[\d\s()\[\]./\u2010-\u2015\u2212-]+")
MAX_DIGITS = 15


def e164(text: str, country: str | None) -> str | None:
    """The E.164 form of an international number, or of a national one of the `country` (alpha-2).

    None if it is not a valid number, or longer than E.164 allows.
    """
    # Address books put invisible direction marks around numbers.
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf").strip()
    if not _WRITTEN.fullmatch(visible):
        return None
    try:
        number = phonenumbers.parse(visible, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return normal if len(normal) <= len("+") + MAX_DIGITS else None


def _check_phone_number(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > 50:
        raise fault("too_long", "Must have at most 50 characters.")
    country = info.data.get("country")
    number = e164(value, country if isinstance(country, str) else None)
    # If the country itself is invalid, a national number may be valid.
    if number is None and "country" in info.data:
        raise fault(
            "invalid_format",
            "Must be an international number (+962 79 000 0000), or a national one together with "
            "its country.",
        )
    return number or value


PhoneNumber = Annotated[
    str,
    BeforeValidator(_check_phone_number),
    Field(
        max_length=50,
        description="International, or national when `country` is given in the same body",
        examples=["0790000000"],
    ),
]
