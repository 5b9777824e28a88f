"""The schema: what the API refuses the database refuses too, and relations load when asked."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from app.models import Account, Base, Favorite, Item, Reservation, Wish
from tests.catalog import CATALOG, Entry, every_resource

A, B = UUID(int=0xA), UUID(int=0xB)  # accounts
LAMP, VASE = UUID(int=1), UUID(int=2)  # items of A
NOBODY = UUID(int=0xF)
# Stored to begin with, by table: the first row of each resource, to which others refer.
FIRST = {entry.resource.table.name: UUID(int=100 + n) for n, entry in enumerate(CATALOG)}
FIRST |= {"accounts": A, "items": LAMP}


def entity(entry: Entry, number: int) -> dict[str, Any]:
    """A valid row that refers to the first rows."""
    parents = {name: FIRST[one.resource.table.name] for name, one in entry.parents().items()}
    row = entry.row({**entry.body(number), **parents})
    return {name: value for name, value in row.items() if name not in ("created", "updated")}


DIGEST = "\\x" + "0b" * 32  # of the key that is stored
KEY = {"principal": "p", "path": "/items", "key": "k", "fingerprint": "\\x00", "expires": "now"}
API_KEY = {
    "id": NOBODY,
    "name": "new",
    "prefix": "satchel_testing_x",
    "digest": "\\x" + "0a" * 32,
    "scope": "read",
}
ENTITIES = {entry.resource.table.name: {**entity(entry, 1), "id": NOBODY} for entry in CATALOG}
# The values of unique columns in the first rows.
TAKEN: dict[str, dict[str, Any]] = {
    entry.resource.table.name: {name: entity(entry, 2)[name] for name in entry.resource.unique}
    for entry in CATALOG
}
ROWS: dict[str, dict[str, Any]] = {
    **ENTITIES,
    "favorites": {"account_id": B, "item_id": VASE},
    "reservations": {"account_id": B, "item_id": VASE},
    "wishes": {"account_id": B, "item_id": VASE, "note": "blue"},
    "idempotency_keys": KEY,
    "api_keys": API_KEY,
}
# What each constraint refuses: a row of its table with these values.
REFUSED: dict[str, list[dict[str, Any]]] = {
    **{f"pk_{table}": [{"id": FIRST[table]}] for table in ENTITIES},
    **{
        f"uq_{table}_{name}": [{name: value}]
        for table, values in TAKEN.items()
        for name, value in values.items()
    },
    **{f"ck_{table}_version_range": [{"version": 0}, {"version": -1}] for table in ENTITIES},
    **{
        str(key.name): [dict.fromkeys(key.column_keys, NOBODY)]
        for table in Base.metadata.tables.values()
        for key in table.foreign_key_constraints
    },
    "ck_accounts_email_length": [{"email": "a@"}, {"email": "a" * 255}],
    "ck_accounts_username_length": [{"username": ""}, {"username": "é" * 101}],
    "ck_accounts_dob_range": [{"dob": "1899-12-31"}],
    "ck_accounts_country_format": [
        *({"country": country} for country in ("", "jo", "JOR", "J1", "JO\n", "400"))
    ],
    "ck_accounts_phone_number_format": [
        *({"phone_number": number} for number in ("", "+", "962790000000", "+0962790000000")),
        *({"phone_number": number} for number in ("+962 79", "+1234567890123456", "+962x")),
    ],
    "ck_items_name_length": [{"name": ""}, {"name": "é" * 51}],
    "ck_items_price_range": [{"price": "-0.01"}, {"price": "NaN"}],
    "ck_items_description_length": [{"description": "é" * 10_001}],
    "ck_items_image_link_length": [{"image_link": "http://" + "a" * 994}],
    "ck_items_image_link_scheme": [
        *({"image_link": link} for link in ("", "lamp.jpg", "ftp://x", "javascript:http://x"))
    ],
    "pk_favorites": [{"account_id": A, "item_id": VASE}],
    "pk_reservations": [{"account_id": A, "item_id": VASE}],
    "uq_reservations_item_id": [{"item_id": LAMP}],
    "pk_wishes": [{"account_id": A, "item_id": LAMP}],
    "ck_wishes_note_length": [{"note": "é" * 1001}],
    "pk_idempotency_keys": [{"key": "taken"}],
    "pk_api_keys": [{"id": A}],
    "uq_api_keys_digest": [{"digest": DIGEST}],
    "ck_api_keys_digest_length": [{"digest": "\\x0a"}],
    "ck_api_keys_scope_known": [{"scope": ""}, {"scope": "read write"}],
    "ck_api_keys_name_format": [
        *({"name": name} for name in ("", "-a", "Ci", "a b", "a_b", "a\n", "a" * 65))
    ],
}
# What is stored to begin with: a row of each resource, another account, another item of A, and a
# link of each kind from A to LAMP.
STORED: list[tuple[str, dict[str, Any]]] = [
    *((table, {"id": FIRST[table], **taken}) for table, taken in TAKEN.items()),
    ("accounts", {"id": B, "email_key": "b@example.com"}),
    ("items", {"id": VASE}),
    ("favorites", {"account_id": A, "item_id": LAMP}),
    ("reservations", {"account_id": A, "item_id": LAMP}),
    ("wishes", {"account_id": A, "item_id": LAMP}),
    ("idempotency_keys", {"key": "taken"}),
    ("api_keys", {"id": A, "name": "taken", "digest": DIGEST}),
]


def literal(value: Any) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


async def insert(connection: AsyncConnection, table: str, **values: Any) -> None:
    """Raw SQL, past everything that Python checks."""
    row = ROWS[table] | values
    columns, literals = ", ".join(row), ", ".join(literal(value) for value in row.values())
    await connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({literals})")


@pytest.fixture(autouse=True)
async def stored(connection: AsyncConnection) -> None:
    for table, values in STORED:
        await insert(connection, table, **values)


async def refusal(connection: AsyncConnection, statement: str) -> str:
    """The constraint that refuses a statement."""
    with pytest.raises(IntegrityError) as error:
        async with connection.begin_nested():
            await connection.exec_driver_sql(statement)
    return str(getattr(error.value.driver_exception, "constraint_name", ""))


class TestConstraints:
    async def test_every_one_is_tried(self, connection: AsyncConnection) -> None:
        query = "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u')"
        where = " AND connamespace = 'public'::regnamespace AND conname !~ '^alembic'"
        assert set(await connection.scalars(text(query + where))) == set(REFUSED)

    @pytest.mark.parametrize("constraint", sorted(REFUSED))
    async def test_refuses(self, constraint: str, connection: AsyncConnection) -> None:
        table = next(name for name in ROWS if f"_{name}_" in f"{constraint}_")
        for values in REFUSED[constraint]:
            with pytest.raises(IntegrityError) as error:
                async with connection.begin_nested():
                    await insert(connection, table, **values)
            cause = error.value.driver_exception
            assert getattr(cause, "constraint_name", None) == constraint, values

    @every_resource
    async def test_what_it_refuses_the_api_refuses_or_normalizes(
        self, entry: Entry, client: httpx.AsyncClient
    ) -> None:
        fields = entry.bad.keys()
        for constraint, rows in REFUSED.items():
            for values in rows:
                if f"ck_{entry.resource.table.name}_" in constraint and values.keys() <= fields:
                    body = {**await entry.valid_body(client), **values}
                    answer = await client.post(entry.path, json=body)
                    assert answer.status_code in (201, 422), (constraint, values, answer.text)
                    stored = answer.json() if answer.status_code == 201 else {}
                    assert not stored.items() >= values.items(), (constraint, values)

    @pytest.mark.parametrize(
        ("table", "values"),
        [
            ("accounts", {"email": "a@b", "username": "é" * 100, "dob": "1900-01-01"}),
            ("accounts", {"email": "é" * 254, "phone_number": "+123456789012345"}),
            ("accounts", {"dob": None, "country": None, "phone_number": None}),
            ("items", {"name": "é" * 50, "price": "9999999999.99", "image_link": "HTTP://x"}),
            ("items", {"price": "0", "description": "é" * 10_000}),
            ("items", {"description": None, "image_link": "https://" + "a" * 992}),
            ("wishes", {"note": None}),
            ("wishes", {"note": "é" * 1000}),
            # A name is free again once its key is revoked or another has taken its place.
            ("api_keys", {"name": "taken", "revoked": "now"}),
            ("api_keys", {"name": "taken", "rotated": "now"}),
            ("api_keys", {"name": "a" * 64, "scope": "admin"}),
            # Favorites may meet in one item, reservations may not.
            ("favorites", {"item_id": LAMP}),
            ("reservations", {}),
        ],
    )
    async def test_take_what_lies_within(
        self, table: str, values: dict[str, Any], connection: AsyncConnection
    ) -> None:
        await insert(connection, table, **values)

    async def test_nothing_required_is_null(self, connection: AsyncConnection) -> None:
        optional = {
            **{entry.resource.table.name: entry.nullable for entry in CATALOG},
            "wishes": {"note"},
            "idempotency_keys": {"status", "headers", "body"},
            "api_keys": {"expires", "rotated", "revoked", "last_used"},
        }
        for name, table in Base.metadata.tables.items():
            nullable = {column.name for column in table.columns if column.nullable}
            assert nullable == optional.get(name, set())
            for column in ROWS[name].keys() - nullable:
                with pytest.raises(IntegrityError, match="not-null"):
                    async with connection.begin_nested():
                        await insert(connection, name, **{column: None})

    async def test_a_price_has_two_decimals(self, connection: AsyncConnection) -> None:
        await insert(connection, "items", price="1.5")
        query = f"SELECT price::text FROM items WHERE id = '{NOBODY}'"
        assert await connection.scalar(text(query)) == "1.50"
        default = "INSERT INTO items (id, account_id, name, image_link) VALUES"
        await connection.exec_driver_sql(f"{default} ('{B}', '{A}', 'Cup', 'http://x')")
        row = await connection.execute(text(f"SELECT * FROM items WHERE id = '{B}'"))
        item = row.one()
        assert (str(item.price), item.version, item.description) == ("0.00", 1, None)
        assert item.created == item.updated

    async def test_an_account_that_owns_items_stays(self, connection: AsyncConnection) -> None:
        delete = f"DELETE FROM accounts WHERE id = '{A}'"
        assert await refusal(connection, delete) == "fk_items_account_id"
        change = f"UPDATE accounts SET id = '{NOBODY}' WHERE id = '{A}'"
        assert await refusal(connection, change) == "fk_items_account_id"

    @pytest.mark.parametrize("table", ["favorites", "reservations", "wishes"])
    async def test_links_go_with_either_end(self, table: str, connection: AsyncConnection) -> None:
        await insert(connection, table)  # from B to VASE
        count = text(f"SELECT count(*) FROM {table}")
        await connection.exec_driver_sql(f"DELETE FROM accounts WHERE id = '{B}'")
        assert await connection.scalar(count) == 1
        await connection.exec_driver_sql(f"DELETE FROM items WHERE id = '{LAMP}'")
        assert await connection.scalar(count) == 0


@pytest.fixture
def session(connection: AsyncConnection) -> AsyncSession:
    return AsyncSession(connection)


class TestRelationships:
    def test_none_loads_by_itself(self) -> None:
        found = [relation for mapper in Base.registry.mappers for relation in mapper.relationships]
        assert len(found) >= 14
        assert {relation.lazy for relation in found} == {"raise"}
        assert all(relation.back_populates for relation in found)

    async def test_touching_one_that_was_not_asked_for_raises(self, session: AsyncSession) -> None:
        account = await session.get_one(Account, A)
        item = await session.get_one(Item, LAMP)
        for entity, name in ((account, "items"), (account, "favorite"), (item, "account")):
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                getattr(entity, name)

    async def test_one_to_many(self, session: AsyncSession) -> None:
        query = select(Account).where(Account.id == A).options(selectinload(Account.items))
        assert {item.id for item in (await session.scalars(query)).one().items} == {LAMP, VASE}
        query = select(Account).where(Account.id == B).options(selectinload(Account.items))
        assert (await session.scalars(query)).one().items == []
        item = await session.get_one(
            Item, LAMP, options=[joinedload(Item.account)], populate_existing=True
        )
        assert item.account.id == A

    async def test_many_to_one(self, connection: AsyncConnection, session: AsyncSession) -> None:
        await insert(connection, "favorites", item_id=LAMP)
        item = await session.get_one(
            Item, LAMP, options=[selectinload(Item.favorites).joinedload(Favorite.account)]
        )
        assert {favorite.account.id for favorite in item.favorites} == {A, B}
        options = [joinedload(Account.favorite).joinedload(Favorite.item)]
        account = await session.get_one(Account, B, options=options, populate_existing=True)
        assert account.favorite is not None
        assert account.favorite.item is item

    async def test_one_to_one(self, session: AsyncSession) -> None:
        options = [joinedload(Account.reservation).joinedload(Reservation.item)]
        account = await session.get_one(Account, A, options=options)
        assert account.reservation is not None
        assert account.reservation.item.id == LAMP
        other = await session.get_one(Account, B, options=options)
        assert other.reservation is None
        for item_id, holder in ((LAMP, A), (VASE, None)):
            item = await session.get_one(
                Item, item_id, options=[joinedload(Item.reservation)], populate_existing=True
            )
            assert (item.reservation and item.reservation.account_id) == holder

    async def test_many_to_many(self, connection: AsyncConnection, session: AsyncSession) -> None:
        await insert(connection, "wishes", account_id=A)
        await insert(connection, "wishes", item_id=LAMP, note="for the hall")
        options = [selectinload(Account.wishes).joinedload(Wish.item)]
        account = await session.get_one(Account, A, options=options)
        assert {wish.item.id for wish in account.wishes} == {LAMP, VASE}
        options = [selectinload(Item.wishes).joinedload(Wish.account)]
        item = await session.get_one(Item, LAMP, options=options, populate_existing=True)
        notes = {wish.account.id: wish.note for wish in item.wishes}
        assert notes == {A: "blue", B: "for the hall"}

    async def test_both_ends_agree_in_memory(self, session: AsyncSession) -> None:
        account = Account(id=NOBODY, items=[Item(name="Cup")])
        assert account.items[0].account is account
        assert inspect(account).transient
