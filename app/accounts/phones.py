"""Phone numbers: converts what people write to E.164."""

import re
import unicodedata

import phonenumbers
from phonenumbers import re_util

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
