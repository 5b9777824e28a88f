"""Countries: the field, which converts codes and English names to the ISO 3166-1 alpha-2 code."""

import re
import unicodedata
from functools import cache
from typing import Annotated, Any

import pycountry
from pydantic import BeforeValidator, Field

from app.resources.fields import fault

_NOT_A_LETTER = re.compile(r"[\W_]+")
_SAINT = re.compile(r"^st (?=\w)")
# English names in common use, such as those that browsers show, that the data of the standard does
# not have.
_FURTHER_NAMES = {
    "British Virgin Islands": "VG",
    "Brunei": "BN",
    "Burma": "MM",
    "Cape Verde": "CV",
    "Caribbean Netherlands": "BQ",
    "Cocos Islands": "CC",
    "Congo - Brazzaville": "CG",
    "Congo - Kinshasa": "CD",
    "Democratic Republic of the Congo": "CD",
    "DR Congo": "CD",
    "East Timor": "TL",
    "Falkland Islands": "FK",
    "Great Britain": "GB",
    "Heard & McDonald Islands": "HM",
    "Holland": "NL",
    "Hong Kong SAR China": "HK",
    "Ivory Coast": "CI",
    "Macao SAR China": "MO",
    "Macau": "MO",
    "Macedonia": "MK",
    "Micronesia": "FM",
    "Myanmar (Burma)": "MM",
    "Palestine": "PS",
    "Palestinian Territories": "PS",
    "Pitcairn Islands": "PN",
    "Republic of Ireland": "IE",
    "Republic of Korea": "KR",
    "Republic of the Congo": "CG",
    "Russia": "RU",
    "Saint Helena": "SH",
    "Saint Martin": "MF",
    "Sint Maarten": "SX",
    "Swaziland": "SZ",
    "Turkey": "TR",
    "U.S. Outlying Islands": "UM",
    "UAE": "AE",
    "UK": "GB",
    "US Virgin Islands": "VI",
    "Vatican": "VA",
    "Vatican City": "VA",
}


def alpha_2(name: str) -> str | None:
    """The alpha-2 code of a country given as alpha-2, alpha-3, three digits or an English name."""
    return _names().get(_key(name))


def _key(name: str) -> str:
    """Case, accents and punctuation make no difference, nor do `the`, `&` and `St.`"""
    text = name.casefold().replace(" & ", " and ").replace(".", "")
    letters = unicodedata.normalize("NFKD", text)
    words = _NOT_A_LETTER.sub(" ", "".join(c for c in letters if not unicodedata.combining(c)))
    return _SAINT.sub("saint ", " ".join(word for word in words.split() if word != "the"))


@cache
def _names() -> dict[str, str]:
    names = {_key(name): code for name, code in _FURTHER_NAMES.items()}
    for country in pycountry.countries:
        for field in ("alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name"):
            if name := getattr(country, field, None):
                names[_key(name)] = country.alpha_2
    return names


def _check_country(value: Any) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    code = alpha_2(value) if len(value) <= 100 else None
    if code is None:
        raise fault(
            "invalid_format",
            "Must be an ISO 3166-1 code (two or three letters, three digits) or an English name.",
        )
    return code


Country = Annotated[
    str,
    BeforeValidator(_check_country),
    Field(
        min_length=2,
        max_length=100,
        description="ISO 3166-1 alpha-2, alpha-3 or three digits, or the English name; any case",
        examples=["Jordan"],
    ),
]
