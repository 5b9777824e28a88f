"""Countries: the field, which converts codes and English names to the ISO 3166-1 alpha-2 code."""

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Any, Final

import pycountry
from pydantic import BeforeValidator, Field

from app.accounts.country_names import NAMES
from app.resources.fields import fault

_APOSTROPHES = re.compile("['`\u00b4\u02b9-\u02bd\u2018-\u201b\u2032\uff07]")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_BETWEEN_INITIALS = re.compile(r"\b([^\W\d_]) (?=[^\W\d_]\b)")
_ABBREVIATED = {"dem": "democratic", "rep": "republic", "st": "saint"}
_OPTIONAL = {"and", "of", "the"}


@lru_cache(1000)
def alpha_2(name: str) -> str | None:
    """The alpha-2 code of a country given as alpha-2, alpha-3, three digits or an English name."""
    return _CODES.get(_key(name))


def _key(name: str) -> str:
    """One for all ways to write a name: words without accents, in alphabetical order.

    Several words may leave out those of `_OPTIONAL` and have those of `_ABBREVIATED` in short. A
    word alone may be a code: AND is Andorra and ST is Sao Tome and Principe.
    """
    letters = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", name)).casefold()
    text = "".join(char for char in letters if not unicodedata.combining(char))
    words = _BETWEEN_INITIALS.sub(r"\1", _BETWEEN_WORDS.sub(" ", text).strip()).split(" ")
    if len(words) > 1:
        words = sorted({_ABBREVIATED.get(word, word) for word in words} - _OPTIONAL)
    return " ".join(words)


def _codes() -> dict[str, str]:
    codes = {_key(name): code for name, code in NAMES.items()}
    for country in pycountry.countries:
        for field in ("alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name"):
            if name := getattr(country, field, None):
                codes[_key(name)] = country.alpha_2
    return codes


_CODES: Final = _codes()


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
        min_length=1,  # a letter such as \xdf may stand for two
        max_length=100,
        description="ISO 3166-1 alpha-2, alpha-3 or three digits, or the English name; any case",
        examples=["Jordan"],
    ),
]
