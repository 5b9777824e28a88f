"""Countries: from any of their codes and English names to the ISO 3166-1 alpha-2 code."""

import re
import unicodedata
from functools import cache

import pycountry
from phonenumbers.geodata.locale import LOCALE_DATA

_NOT_A_LETTER = re.compile(r"[\W_]+")
_SAINT = re.compile(r"^st (?=\w)")
# English names in daily use, and those that browsers show (CLDR's), which the data sets lack.
_FURTHER_NAMES = {
    "UAE": "AE",
    "Caribbean Netherlands": "BQ",
    "Congo - Kinshasa": "CD",
    "DR Congo": "CD",
    "Congo - Brazzaville": "CG",
    "Ivory Coast": "CI",
    "Great Britain": "GB",
    "UK": "GB",
    "South Georgia & South Sandwich Islands": "GS",
    "Hong Kong SAR China": "HK",
    "Heard & McDonald Islands": "HM",
    "Republic of Ireland": "IE",
    "Burma": "MM",
    "Myanmar (Burma)": "MM",
    "Macao SAR China": "MO",
    "Macau": "MO",
    "Holland": "NL",
    "Pitcairn Islands": "PN",
    "Palestinian Territories": "PS",
    "Sint Maarten": "SX",
    "East Timor": "TL",
    "U.S. Outlying Islands": "UM",
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
                # "Korea, Republic of" is the Republic of Korea.
                names[_key(" ".join(reversed(value.split(", ", 1))))] = code
    known = {country.alpha_2 for country in pycountry.countries}
    names |= {_key(name): code for name, code in _FURTHER_NAMES.items()}
    return {key: code for key, code in names.items() if code in known}
