"""Phone numbers and mail domains as the people of a service have them.

What it costs to check them depends on how many kinds there are: a validator has patterns for each
country, and may remember domains that it has seen.
"""

import random
from functools import cache

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

_CODES = (
    "AE AR AT AU BE BG BR CA CH CL CN CO CZ DE DK EE EG ES FI FR GB GR HU ID IE "
    "IL IN IT JO JP KE KR LB LT LV MA MX MY NG NL NO NZ PE PH PL PT RO SE US ZA"
)
COUNTRIES = _CODES.split()
# How many digits at the end of a number may be any.
FREE_DIGITS = 4

# Percent of all addresses. The top-level domain is reserved, so nobody gets mail.
PROVIDERS = {
    "mailbox.example": 34,
    "postbox.example": 13,
    "letters.example": 9,
    "webmail.example": 7,
    "inbox.example": 5,
    "telecom.example": 4,
    "freemail.example": 3,
    "cable.example": 2,
    "students.example": 2,
    "mail.example": 1,
}
# The others: domains of companies and people, of which the first ones have the most addresses ...
_TAIL, TAIL_DOMAINS = 15, 20_000
# ... and domains that have one address only.
_NEW = 100 - _TAIL - sum(PROVIDERS.values())
NEW_DOMAIN = "own-#.example"
_DRAWN = 100_000


def phone_number(country: str, end: int) -> str:
    return f"{phone_beginnings()[country]}{end:0{FREE_DIGITS}}"


@cache
def phone_beginnings() -> dict[str, str]:
    """Of a number in each country, all but its last digits."""
    written = {}
    for country in COUNTRIES:
        number = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
        assert number is not None
        text = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        written[country] = text[:-FREE_DIGITS]
    return written


@cache
def domains() -> list[str]:
    """A domain as often as it is used. A `#` stands for what makes a domain new each time."""
    chance = random.Random(4)
    tail = [f"firm{number}.example" for number in range(1, TAIL_DOMAINS + 1)]
    # Zipf's law: the second has half of the addresses of the first, the third a third.
    weights = [1 / rank for rank in range(1, TAIL_DOMAINS + 1)]
    drawn = chance.choices(tail, weights, k=_DRAWN * _TAIL // 100)
    for name, percent in (*PROVIDERS.items(), (NEW_DOMAIN, _NEW)):
        drawn += [name] * (_DRAWN * percent // 100)
    chance.shuffle(drawn)
    return drawn


def domain(number: int) -> str:
    """The domain of the account with this number."""
    return domains()[number % _DRAWN].replace("#", str(number))
