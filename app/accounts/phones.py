"""Phone numbers: the field, which converts what people write to E.164."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import phonenumbers
from phonenumbers import re_util
from pydantic import BeforeValidator, Field, ValidationInfo

from app.resources.fields import fault

# The library has more patterns than Python's `re` keeps compiled. Without its own cache, numbers of
# many countries cost ten times as much as those of one.
re_util.enable_pattern_cache()

# After NFKC: digits of any script, and the marks that people group them with, such as middle dots
# and the long vowel mark of Japanese keyboards. The parser would accept more, and silently drop
# what it cannot read: words, extensions, a second number.
_WRITTEN = re.compile(
    r"[\s(\[]*\+?[\d\s()\[\]./\u00b7\u058a\u05be\u2010-\u2015\u2212\u30fb\u30fc-]+"
)
_PLAIN = re.compile(r"\+[1-9][0-9]{6,14}")
_NO_DIGIT = re.compile(r"[^\d+]")
MAX_DIGITS = 15
# The kinds of numbers that the library knows, the usual ones first.
_KINDS = (
    "mobile",
    "fixed_line",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
# How many digits such numbers may have (none: any), and their pattern.
_Kind = tuple[Sequence[int], re.Pattern[str]]


def e164(text: str, country: str | None) -> str | None:
    """The E.164 form of an international number, or of a national one of the `country` (alpha-2).

    None if it is not a valid number, or longer than E.164 allows.
    """
    plain = _plain(text) if _PLAIN.fullmatch(text) else None
    if plain is not None:  # it is in its normal form
        return text if _is_valid(*plain) else None
    dialed = _dialed(text)
    if dialed is None:
        return None
    try:
        number = phonenumbers.parse(dialed, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return normal if len(normal) <= len("+") + MAX_DIGITS else None


def _plain(text: str) -> tuple[int, str] | None:
    """The calling code and the national number of a `+` and digits, as the parser, which takes as
    long as all the rest, would find them. None: it might drop a prefix or keep a zero.
    """
    for length in (1, 2, 3):
        code, national = int(text[1 : 1 + length]), text[1 + length :]
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            prefix = _national_prefix(code)
            if national[0] == "0" or (prefix is not None and prefix.match(national)):
                return None
            return code, national
    return None


def _is_valid(code: int, national: str) -> bool:
    """`phonenumbers.is_valid_number`, which asks for the rarest kinds of numbers first."""
    kinds = _kinds(code)
    if kinds is None:
        number = phonenumbers.PhoneNumber(country_code=code, national_number=int(national))
        return phonenumbers.is_valid_number(number)
    return _is_of(kinds[0], national) and any(_is_of(kind, national) for kind in kinds[1:])


def _is_of(kind: _Kind, national: str) -> bool:
    lengths, pattern = kind
    return (not lengths or len(national) in lengths) and pattern.fullmatch(national) is not None


@cache
def _kinds(code: int) -> list[_Kind] | None:
    """What all numbers of a calling code are like, then each kind of them. None: several countries
    share the code, and differ.
    """
    region, *others = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if others or metadata is None:
        return None
    kinds = [getattr(metadata, name) for name in ("general_desc", *_KINDS)]
    return [
        (kind.possible_length, re.compile(kind.national_number_pattern))
        for kind in kinds
        if kind is not None and kind.national_number_pattern
    ]


@cache
def _national_prefix(code: int) -> re.Pattern[str] | None:
    """What the parser drops before a national number of the country with this calling code."""
    region = phonenumbers.region_code_for_country_code(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    pattern = None if metadata is None else metadata.national_prefix_for_parsing
    return None if pattern is None else re.compile(pattern)


def _dialed(text: str) -> str | None:
    """The digits of a number, and the plus sign before them; None if the text holds anything else.

    The parser knows some white space and some hyphens only, so it gets none.
    """
    kinds = {unicodedata.category(char) for char in text}
    if "No" in kinds:  # NFKC would make a digit of the mark of a footnote
        return None
    written = unicodedata.normalize("NFKC", text)
    if "Cf" in kinds:  # address books put invisible direction marks around numbers
        written = "".join(char for char in written if unicodedata.category(char) != "Cf")
    return _NO_DIGIT.sub("", written) if _WRITTEN.fullmatch(written) else None


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
