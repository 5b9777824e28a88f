"""The resources that the contract tests run on: a resource that is added here is tested by them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from app.accounts import emails
from app.accounts.service import ACCOUNTS
from app.items import search_words
from app.items.schemas import OwnedItemQuery
from app.items.service import ITEMS, OWNED
from app.resources.lists import Listing, PageQuery
from app.resources.resource import Resource
from tests.factories import next_number

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Rule:
    """What a filter lets through, for one whose name does not say it.

    values: values to try on these rows.
    matches: whether a row is let through by a value.
    """

    values: Callable[[Sequence[Row]], Sequence[Any]]
    matches: Callable[[Row, Any], bool]


@dataclass(frozen=True, eq=False)
class List:
    """A list of a resource. The path of one with a parent has the parent's id as a parameter."""

    path: str
    listing: Listing
    query: type[PageQuery]

    @property
    def filters(self) -> Sequence[str]:
        return sorted(self.query.model_fields.keys() & self.listing.filters.keys())


@dataclass(frozen=True, eq=False)
class Entry:
    """What the tests need to know of a resource beyond its `Resource`.

    body: the n-th valid body, without references. Values of filtered fields vary with n, and those
    of fields that are not unique repeat within 25,000 bodies.
    bad: for each field of the body a value that is refused, and the code of its fault.
    changes: a valid change to any of these rows.
    texts: fields that take any text.
    stored: the columns that the service adds to a body.
    rules: of filters whose names do not say what they do.
    sort_keys: of sorts by something else than the field of that name.
    owned: its lists that have a parent.
    """

    path: str
    resource: Resource[Any]
    body: Callable[[int], Row]
    bad: Mapping[str, tuple[Any, str]]
    changes: Row
    texts: Sequence[str] = ()
    stored: Callable[[Row], Row] = lambda body: {}
    rules: Mapping[str, Rule] = field(default_factory=dict)
    sort_keys: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    owned: Sequence[List] = ()

    @property
    def title(self) -> str:
        """What the names of its schemas begin with."""
        return self.resource.read.__name__.removesuffix("Read")

    @property
    def name(self) -> str:
        """Its name in operationIds and problem codes, such as `price_list` of `PriceList`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.title).lower()

    @property
    def query(self) -> type[PageQuery]:
        """The query schema of its list."""
        return self.resource.query

    @property
    def id_name(self) -> str:
        """The name of the path parameter."""
        return f"{self.name}_id"

    @property
    def not_found(self) -> str:
        """The code of the problem of an unknown id."""
        return self.resource.not_found().code

    @property
    def nullable(self) -> set[str]:
        """The fields that may be null when they are read."""
        fields = TypeAdapter(self.resource.read).json_schema()["properties"]
        return {name for name, one in fields.items() if {"type": "null"} in one.get("anyOf", ())}

    @property
    def free_text(self) -> str:
        """A field that takes any text, whatever other rows have."""
        return next(name for name in self.texts if name not in self.resource.unique)

    @property
    def lists(self) -> Sequence[List]:
        return (List(self.path, self.resource.listing, self.query), *self.owned)

    def parents(self) -> dict[str, "Entry"]:
        """The entries that its rows refer to, by the names of the fields."""
        tables = {
            name: key.column.table
            for name in self.resource.references
            for key in self.resource.table.c[name].foreign_keys
        }
        return {
            name: next(entry for entry in CATALOG if entry.resource.table is table)
            for name, table in tables.items()
        }

    def kept_parents(self) -> dict[str, "Entry"]:
        """Those of `parents` that cannot be deleted before its rows."""
        keys = {key.parent.name: key for key in self.resource.table.foreign_keys}
        kept = {name for name, key in keys.items() if key.ondelete in (None, *KEEPS)}
        return {name: parent for name, parent in self.parents().items() if name in kept}

    async def valid_body(self, client: httpx.AsyncClient, **fields: Any) -> Row:
        """A new valid body. Parents are created, unless `fields` has them."""
        for name, parent in self.parents().items():
            if name not in fields:
                fields[name] = (await parent.create(client))["id"]
        return {**self.body(next_number()), **fields}

    async def create(self, client: httpx.AsyncClient, **fields: Any) -> Row:
        answer = await client.post(self.path, json=await self.valid_body(client, **fields))
        assert answer.status_code == 201, answer.text
        row: Row = answer.json()
        return row

    async def insert(
        self, connection: AsyncConnection, rows: Sequence[Row], parents: int = 2
    ) -> list[Row]:
        """Store rows with these fields and valid others, past the API. So many parents are made
        for those that have none, and take turns.
        """
        ids = {
            name: [row["id"] for row in await parent.insert(connection, [{}] * parents)]
            for name, parent in self.parents().items()
            if not all(name in row for row in rows)
        }
        made = []
        for n, fields in enumerate(rows):
            references = {name: choice[n % parents] for name, choice in ids.items()}
            made.append(self.row({**self.body(next_number()), **references, **fields}))
        await self.insert_all(connection, made)
        return made

    def row(self, body: Row) -> Row:
        """All columns, as JSON would have them."""
        system: Row = {"id": str(uuid7()), "created": NOON, "updated": NOON, "version": 1}
        return {**system, **body, **self.stored(body)}

    def parse(self, row: Row) -> Row:
        """A row as Python has it, from JSON."""
        return dict(TypeAdapter(self.resource.read).validate_python(row))

    async def insert_all(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        table, names = self.resource.table.name, ", ".join(rows[0])
        made = f"jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))"
        statement = text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {made}")
        await connection.execute(statement, {"rows": json.dumps(rows, default=str)})


# What a foreign key does to keep the row that it refers to.
KEEPS = ("NO ACTION", "RESTRICT")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATALOG = [
    Entry(
        "/accounts",
        ACCOUNTS,
        body=lambda n: {
            "email": f"{'aBcD'[n % 4]}{n}@example.com",
            "username": f"{'caba'[n % 4]} {n % 25_000}",
            "dob": f"{1950 + n % 50}-{n % 12 + 1:02}-{n % 28 + 1:02}" if n % 7 else None,
            "country": "JO" if n % 1000 == 0 else ("AE", "BE", "DE", "FR", None)[n % 5],
            "phone_number": None,
        },
        bad={
            "email": ("ada@", "invalid_format"),
            "username": ("", "too_short"),
            "dob": ("1990-02-30", "invalid_format"),
            "country": ("Atlantis", "invalid_format"),
            "phone_number": ("+" + "1" * 50, "too_long"),
        },
        changes={"username": "changed", "dob": "1949-12-31"},
        texts=["username"],
        stored=lambda body: {"email_key": emails.unique_key(body["email"])},
        rules={
            "email": Rule(
                lambda rows: [row["email"].upper() for row in rows],
                lambda row, email: row["email"].casefold() == email.casefold(),
            )
        },
        sort_keys={"email": str.casefold},
    ),
    Entry(
        "/items",
        ITEMS,
        body=lambda n: {
            "name": f"{('Lamp', 'Desk', 'lamp')[n % 3]} {n % 25_000}",
            "price": f"{n * 7919 % 100_000 / 100:.2f}",
            "description": ("Brass", "Oak and brass", None, "")[n % 4] if n % 1000 else "Rare",
            "image_link": "https://example.com/item.jpg",
        },
        bad={
            "account_id": ("1", "invalid_format"),
            "name": ("", "too_short"),
            "price": ("-1", "too_small"),
            "description": ("x" * 10_001, "too_long"),
            "image_link": ("ftp://example.com/", "invalid_format"),
        },
        changes={"name": "changed", "price": "10000.00"},
        texts=["name", "description"],
        stored=search_words.columns,
        rules={
            "q": Rule(
                lambda rows: ["lamp", "brass", "BRASS desk", "rare", "nothing"],
                lambda row, words: (
                    {*words.lower().split()}
                    <= {*f"{row['name']} {row['description'] or ''}".lower().split()}
                ),
            )
        },
        owned=[List("/accounts/{account_id}/items", OWNED, OwnedItemQuery)],
    ),
]
every_resource = pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.path)
every_list = pytest.mark.parametrize(
    ("entry", "each"),
    [(entry, each) for entry in CATALOG for each in entry.lists],
    ids=lambda value: value.path if isinstance(value, List) else "",
)


def entry_of(path: str) -> Entry:
    return next(entry for entry in CATALOG if entry.path == path)


async def insert_accounts(connection: AsyncConnection, rows: Sequence[Row]) -> list[Row]:
    return await entry_of("/accounts").insert(connection, rows)


async def insert_items(connection: AsyncConnection, rows: Sequence[Row]) -> str:
    """Items of one new account; its id."""
    owner: str = (await entry_of("/items").insert(connection, rows, parents=1))[0]["account_id"]
    return owner


def parent_name(each: List) -> str | None:
    """The field that holds the parent's id, of a list that has a parent."""
    return each.path.partition("{")[2].partition("}")[0] or None


def rows_of(each: List, rows: Sequence[Row]) -> tuple[str, UUID | None, list[Row]]:
    """The list's path, its parent's id, and those of the rows that are its own.

    The parent is the one of the first row.
    """
    name = parent_name(each)
    if name is None:
        return each.path, None, list(rows)
    parent = rows[0][name]
    own = [row for row in rows if row[name] == parent]
    return each.path.format(**{name: parent}), UUID(parent), own
