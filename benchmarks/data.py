"""The accounts and items that every contestant holds: the same ones in every run."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from benchmarks.contacts import COUNTRIES, FREE_DIGITS, domain, phone_number

# Half a year of accounts, one each two minutes or so, all of it before any run.
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_STEP = timedelta(seconds=130, microseconds=1)

ACCOUNT_COLUMNS = (
    "id",
    "created",
    "updated",
    "email",
    "username",
    "dob",
    "country",
    "phone_number",
)
ITEM_COLUMNS = (
    "id",
    "account_id",
    "created",
    "updated",
    "name",
    "price",
    "description",
    "image_link",
)

# The tables of the peers, each with the indexes that its requests need. Only the tutorial keeps its
# ids as text.
PEER_TABLES = """
CREATE TABLE accounts (
    id {id} PRIMARY KEY,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    email varchar(254) NOT NULL UNIQUE,
    username varchar(100) NOT NULL,
    dob date,
    country varchar(100),
    phone_number varchar(20)
);
CREATE INDEX ON accounts (created);
CREATE INDEX ON accounts (country, created);
CREATE TABLE items (
    id {id} PRIMARY KEY,
    account_id {id} NOT NULL REFERENCES accounts (id),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    name varchar(50) NOT NULL,
    price numeric(12, 2) NOT NULL,
    description text,
    image_link varchar(1000) NOT NULL
);
CREATE INDEX ON items (account_id);
"""


@dataclass(frozen=True)
class Amount:
    """How many rows there are; accounts are numbered from 1, the newest last."""

    accounts: int
    items: int


def email(number: int) -> str:
    return f"person{number}@{domain(number)}"


def created(number: int) -> datetime:
    return _BEGIN + number * _STEP


def account_id(number: int) -> UUID:
    return _uuid7(created(number), random.Random(number))


def _uuid7(instant: datetime, chance: random.Random) -> UUID:
    milliseconds = int(instant.timestamp() * 1000)
    value = milliseconds << 80 | chance.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    return UUID(int=value & ~(0x3 << 62) | 2 << 62)


def account(number: int) -> dict[str, str]:
    """The columns of an account, as CSV takes them."""
    chance = random.Random(-number)
    country = chance.choice(COUNTRIES)
    return {
        "id": str(account_id(number)),
        "created": created(number).isoformat(),
        "updated": created(number).isoformat(),
        "email": email(number),
        "email_key": email(number),
        "username": f"person{number}",
        "dob": f"{chance.randint(1950, 2005)}-{chance.randint(1, 12):02}-17",
        "country": country,
        "phone_number": phone_number(country, chance.randrange(10**FREE_DIGITS)),
    }


@cache
def account_csv(amount: Amount, columns: tuple[str, ...]) -> bytes:
    """All accounts. `columns` may name email_key, which Satchel has beside the email."""
    rows = map(account, range(1, amount.accounts + 1))
    return "\n".join(",".join(row[name] for name in columns) for row in rows).encode()


@cache
def item_csv(amount: Amount, columns: tuple[str, ...]) -> bytes:
    """All items. `columns` may name those of search words, which Satchel has beside the text."""
    rows = _items(amount)
    return "\n".join(",".join(row[name] for name in columns) for row in rows).encode()


def _items(amount: Amount) -> Iterator[dict[str, str]]:
    """The columns of each item, as CSV takes them."""
    chance = random.Random(2)
    owners = [str(account_id(number)) for number in range(1, amount.accounts + 1)]
    for number in range(1, amount.items + 1):
        instant = _BEGIN + number * _STEP / 4
        price = f"{chance.randrange(10**5) / 100:.2f}"
        yield {
            "id": str(_uuid7(instant, chance)),
            "account_id": chance.choice(owners),
            "created": instant.isoformat(),
            "updated": instant.isoformat(),
            "name": f"Item {number}",
            "name_words": f"item {number}",
            "price": price,
            "description": f"What one says about item {number}",
            "description_words": f"what one says about item {number}",
            "image_link": f"https://example.com/items/{number}.jpg",
        }
