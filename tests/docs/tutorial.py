"""A database of the tutorial: its tables, and rows as its code stores them."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

TABLES = (
    """CREATE TABLE account (
        id VARCHAR(50) NOT NULL, created TIMESTAMP WITH TIME ZONE, updated TIMESTAMP WITH TIME ZONE,
        email VARCHAR(100) NOT NULL, username VARCHAR(100) NOT NULL, dob DATE,
        country VARCHAR(100), phone_number VARCHAR(20),
        PRIMARY KEY (id), UNIQUE (email), UNIQUE (id))""",
    """CREATE TABLE item (
        id VARCHAR(50) NOT NULL, created TIMESTAMP WITH TIME ZONE, updated TIMESTAMP WITH TIME ZONE,
        name VARCHAR(50) NOT NULL, price FLOAT(2) NOT NULL, description TEXT,
        image_link VARCHAR(1000) NOT NULL, account_id VARCHAR(100),
        PRIMARY KEY (id), FOREIGN KEY(account_id) REFERENCES account (id), UNIQUE (id))""",
)
# The check of the tutorial takes codes and names of countries, in any case: those of ISO 3166-1, in
# which Kosovo is none, and these.
COUNTRY_NAMES = {
    "Congo, Democratic Republic of the": "CD",
    "Holy See": "VA",
    "Palestine": "PS",
    "Turkey": "TR",
}


def account(email: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "created": datetime(2022, 5, 17, 10, 0, 0, 250_000, tzinfo=UTC),
        "updated": datetime(2023, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
        "email": email,
        "username": email.partition("@")[0],
        "dob": date(1990, 5, 17),
        "country": "Jordan",
        "phone_number": "0790000000",
        **fields,
    }


def item(owner: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "created": datetime(2022, 5, 18, 10, 0, tzinfo=UTC),
        "updated": datetime(2022, 5, 18, 10, 0, tzinfo=UTC),
        "name": "Lamp",
        "price": 19.9,
        "description": "Brass",
        "image_link": "https://example.com/lamp.jpg",
        "account_id": owner["id"],
        **fields,
    }


ADA = account("ada@example.com")
# Each row with what becomes of its values where that is anything else.
ACCOUNTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (ADA, {"country": "JO", "phone_number": "+962790000000"}),
    (
        account("linh@EXAMPLE.org", country="viet nam", phone_number="", dob=None),
        {"email": "linh@example.org", "country": "VN", "phone_number": None},
    ),
    (
        account("wei@example.org", country="TWN", phone_number="+886 2 2345 6789"),
        # It is changed, and imported again.
        {
            "username": "wei2",
            "country": "TW",
            "phone_number": "+886223456789",
            "version": 2,
            "updated": None,
        },
    ),
    (
        account(
            "zoë@example.org",
            username=' Zoë, "the" 2nd ',
            country="826",
            phone_number="020 7946 0958",
        ),
        {"username": 'Zoë, "the" 2nd', "country": "GB", "phone_number": "+442079460958"},
    ),
    (
        account(
            "nullable@example.org", created=None, updated=None, country=None, phone_number=None
        ),
        {},
    ),
    # Refused, and then corrected as the page shows.
    (
        account("ADA@example.com", country="JOR", phone_number=""),
        {"email": "ada.byron@example.com", "country": "JO", "phone_number": None},
    ),
    (
        account("@example.com", username="info", phone_number=""),
        {"email": "info@example.com", "country": "JO", "phone_number": None},
    ),
    (
        account("blank@example.org", username=" ", phone_number=""),
        {"username": "walter", "country": "JO", "phone_number": None},
    ),
    (
        account("late@example.org", dob=date(2999, 5, 17), phone_number=""),
        {"dob": date(1999, 5, 17), "country": "JO", "phone_number": None},
    ),
    (
        account("kosovo@example.org", country="Kosovo", phone_number="+383 44 123 456"),
        {"country": None, "phone_number": "+38344123456"},
    ),
    (
        account("shy@example.org", phone_number="call me"),
        {"country": "JO", "phone_number": None},
    ),
]
_LATER = ACCOUNTS[5][0]
# What becomes of the price is always given. Without any outcome, the page deletes the row.
ITEMS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    (item(ADA), {"price": "19.90"}),
    (item(ADA, price=0.0, description=""), {"price": "0.00", "description": None}),
    (item(ADA, price=1234567.89, description=None), {"price": "1234567.90"}),
    (item(ADA, price=99999.99), {"price": "99999.99"}),
    (item(ADA, price=1e6, description='two\nlines, "quoted"; =1+1'), {"price": "1000000.00"}),
    (item(_LATER, price=0.1), {"price": "0.10"}),
    (item(ADA, name=" ", price=1.0), {"name": "Vase", "price": "1.00"}),
    (item(ADA, price=-1.0), {"price": "1.00"}),
    (item(ADA, price=19.999), {"price": "20.00"}),
    (item(ADA, price=float("inf")), {"price": "0.00"}),
    (
        item(ADA, image_link="ftp://example.com/lamp.jpg"),
        {"price": "19.90", "image_link": "https://example.com/lamp.jpg"},
    ),
    (item(ADA, account_id=None), None),
]


async def make_database(url: URL) -> None:
    """Make the tables and the rows. Instants are printed in another time zone than UTC."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        for table in TABLES:
            await connection.execute(text(table))
        for name, rows in (("account", ACCOUNTS), ("item", ITEMS)):
            for row, _ in rows:
                values = ", ".join(f":{column}" for column in row)
                insert = f"INSERT INTO {name} ({', '.join(row)}) VALUES ({values})"
                await connection.execute(text(insert), row)
        zone = f"""ALTER DATABASE "{url.database}" SET timezone = 'Asia/Kolkata'"""
        await connection.execute(text(zone))
    await engine.dispose()
