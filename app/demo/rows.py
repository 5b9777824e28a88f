"""Makes the rows of demo data: all that is random in them comes from one generator.

Bodies go through the schemas of requests, and the services' own functions make the rest, so that
the rows are what the API would have stored.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from math import ceil
from random import Random
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from app.accounts.schemas import AccountCreate
from app.accounts.service import EMAIL_KEYS
from app.demo.tables import LANGUAGES, NOUNS, Language
from app.items.schemas import ItemCreate
from app.items.service import ITEM_WORDS
from app.links.schemas import WishReplace

Row = dict[str, Any]
T = TypeVar("T")

# Fixed, so that the rows are the same whenever they are made.
FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST_BIRTH: Final = date(1945, 1, 1)
_DAYS_OF_BIRTHS: Final = 22_000  # 60 years


class Made(NamedTuple):
    """What later rows need of an account or an item: the language of an item is its owner's."""

    id: UUID
    created: datetime
    language: Language


def account_rows(chance: Random, seed: int, count: int, made: list[Made]) -> Iterator[Row]:
    """Accounts in the order of their creation; what items and links need of them goes to `made`."""
    for number in range(count):
        created = FIRST + (LAST - FIRST) * ((number + chance.random()) / count)
        language = chance.choice(LANGUAGES)
        body = AccountCreate.model_validate(_account(chance, language, seed, number)).model_dump()
        yield _resource(chance, created, language, {**body, **EMAIL_KEYS.fold(body)}, made)


def item_rows(
    chance: Random, count: int, owners: Sequence[Made], made: list[Made]
) -> Iterator[Row]:
    """Items, each created after its owner; the first accounts own most of them."""
    for number in range(count):
        owner = _early(chance, owners)
        item = _item(chance, owner.language, number)
        body = ItemCreate.model_validate({**item, "account_id": str(owner.id)}).model_dump()
        row = {**body, **_words("name", item["name"]), **_words("description", item["description"])}
        yield _resource(chance, _after(chance, owner), owner.language, row, made)


def favorite_rows(chance: Random, accounts: Sequence[Made], items: Sequence[Made]) -> Iterator[Row]:
    """Favorites of two thirds of the accounts; the first items have most of them."""
    for account in chance.sample(accounts, ceil(len(accounts) * 2 / 3)):
        yield _link(chance, account, _early(chance, items))


def reservation_rows(
    chance: Random, accounts: Sequence[Made], items: Sequence[Made]
) -> Iterator[Row]:
    """Reservations of a quarter of the accounts, or of the items if they are fewer."""
    count = ceil(min(len(accounts), len(items)) / 4)
    for account, item in zip(
        chance.sample(accounts, count), chance.sample(items, count), strict=True
    ):
        yield _link(chance, account, item)


def wish_rows(chance: Random, accounts: Sequence[Made], items: Sequence[Made]) -> Iterator[Row]:
    """Up to four wishes of each second account, some of them with a note."""
    for account in chance.sample(accounts, ceil(len(accounts) / 2)):
        for item in chance.sample(items, min(len(items), chance.randint(1, 4))):
            use = chance.choice(account.language.uses.split("|"))
            body = WishReplace(note=_sometimes(chance, 0.6, _titled(use)))
            yield {**_link(chance, account, item), **body.model_dump()}


def _account(chance: Random, language: Language, seed: int, number: int) -> Row:
    country, phone = _country_and_phone(chance, language)
    given, _, latin = chance.choice(language.given.split()).partition("=")
    latin = (latin or _without_accents(given)).lower()
    noun = chance.choice(NOUNS.split("|"))
    dob = _FIRST_BIRTH + timedelta(days=chance.randrange(_DAYS_OF_BIRTHS))
    mailbox = chance.choice((latin, latin, latin, given.lower()))
    return {
        # Unique by the number; accounts of another seed have other emails.
        "email": f"{mailbox}{number}.{noun}{seed}@example.{chance.choice(('com', 'net', 'org'))}",
        "username": chance.choice((given, f"{given}{dob:%y}", f"{latin}_{noun}")),
        "dob": _sometimes(chance, 0.9, str(dob)),
        "country": _sometimes(chance, 0.95, country),
        "phone_number": _sometimes(chance, 0.8, phone),
    }


def _item(chance: Random, language: Language, number: int) -> Row:
    thing = chance.choice(language.things.split("|"))
    use = chance.choice(language.uses.split("|"))
    remark = chance.choice(language.remarks.split("|"))
    return {
        "name": _titled(language.item.format(thing, use)),
        "price": f"{chance.randrange(300)}.{chance.choice(('00', '50', '90', '99'))}",
        "description": _sometimes(chance, 0.8, f"{remark} {chance.randrange(5, 125, 5)} cm"),
        "image_link": f"https://images.example.com/{number}.jpg",
    }


# Many items have the same text, and finding its words takes longer than all the rest.
@cache
def _words(field: str, value: str | None) -> Mapping[str, str]:
    return ITEM_WORDS.fold({field: value})


def _resource(
    chance: Random, created: datetime, language: Language, row: Row, made: list[Made]
) -> Row:
    made.append(Made(_uuid7(chance, created), created, language))
    return {"id": made[-1].id, **row, "created": created, "updated": created}


def _link(chance: Random, account: Made, item: Made) -> Row:
    created = _after(chance, max(account, item, key=lambda end: end.created))
    return {"account_id": account.id, "item_id": item.id, "created": created}


def _country_and_phone(chance: Random, language: Language) -> tuple[str, str]:
    form = chance.choice(language.phones.split())
    digits = (str(chance.randrange(10)) if char == "#" else char for char in form[2:])
    return form[:2], "".join(digits)


def _uuid7(chance: Random, created: datetime) -> UUID:
    """The id of a row that was created then (RFC 9562, 5.7)."""
    milliseconds = int(created.timestamp() * 1000)
    bits = milliseconds << 80 | chance.getrandbits(80)
    return UUID(int=bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def _after(chance: Random, earlier: Made) -> datetime:
    return earlier.created + (LAST - earlier.created) * chance.random()


def _early(chance: Random, rows: Sequence[T]) -> T:
    return rows[int(len(rows) * chance.random() ** 2)]


def _sometimes(chance: Random, share: float, value: T) -> T | None:
    return value if chance.random() < share else None


def _titled(text: str) -> str:
    return text[:1].title() + text[1:]


def _without_accents(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text)
    return "".join(char for char in letters if not unicodedata.combining(char))
