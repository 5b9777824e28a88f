"""Countries: from any of their codes and English names to the ISO 3166-1 alpha-2 code."""

import re
import unicodedata
from functools import cache

import pycountry
from phonenumbers.geodata.locale import LOCALE_DATA

_NOT_A_LETTER = re.compile(r"[\W_]+")
# English names in daily use that neither of the two data sets has.
_FURTHER_NAMES = {
    "UK": "GB",
    "Great Britain": "GB",
    "Burma": "MM",
    "Holland": "NL",
    "Macau": "MO",
    "Vatican City": "VA",
}


def alpha_2(name: str) -> str | None:
    """The alpha-2 code of a country given as alpha-2, alpha-3, three digits or an English name."""
    return _names().get(_key(name))


def _key(name: str) -> str:
    """Case, accents, punctuation and the word `the` make no difference."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    words = _NOT_A_LETTER.sub(" ", "".join(c for c in letters if not unicodedata.combining(c)))
    return words.strip().removeprefix("the ")


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for code, locales in LOCALE_DATA.items():
        # CLDR's everyday names, such as Russia; "*xx" refers to the name in language xx.
        name = locales.get("en", "")
        names[_key(locales[name[1:]] if name.startswith("*") else name)] = code
    for country in pycountry.countries:
        code = country.alpha_2
        for field in ("alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name"):
            if value := getattr(country, field, None):
                names[_key(value)] = code
    known = {country.alpha_2 for country in pycountry.countries}
    names |= {_key(name): code for name, code in _FURTHER_NAMES.items()}
    return {key: code for key, code in names.items() if code in known}
