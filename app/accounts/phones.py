"""Phone numbers: from what people write to E.164."""

import re
import unicodedata

import phonenumbers
from phonenumbers import re_util

# Its patterns are more than Python's `re` keeps compiled: without this, a mix of countries costs
# ten times as much as one.
re_util.enable_pattern_cache()

# Digits of any script between the marks that people group them with. The parser would take more,
# and drop in silence what it cannot read: words, extensions, a second number.
_WRITTEN = re.compile(r"\(?[+\uff0b]?[\d\s()\[\]./\u2010-\u2015\u2212-]+")
MAX_DIGITS = 15


def e164(text: str, country: str | None) -> str | None:
    """The E.164 form of an international number, or of a national one of the `country` (alpha-2).

    None where it is no valid number, or is longer than E.164 allows.
    """
    # Address books put invisible marks of direction around numbers.
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
