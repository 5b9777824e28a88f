"""The rules of accounts; each function is one operation on the session it is given."""

from typing import Any, cast
from uuid import UUID

from dns.asyncresolver import Resolver
from pydantic import MISSING
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.accounts.schemas import (
    AccountChange,
    AccountCreate,
    AccountQuery,
    AccountRead,
    AccountReplace,
)
from app.database.as_json import json_row
from app.database.constraints import conflicts
from app.database.pages import Listing, Page, fetch_page, starts_with
from app.database.reader import Reader, any_id
from app.database.schema import columns_of, table_of
from app.database.writes import Precondition, Target, delete_row, update_row
from app.errors import AccountHasItems, AccountNotFound, EmailTaken
from app.models import Account, Item

JSON = json_row(Account, AccountRead)
TARGET = Target(Account, columns_of(Account, AccountRead), AccountNotFound)
LISTING = Listing(
    "accounts",
    JSON,
    sorts={
        "created": Account.created,
        "updated": Account.updated,
        "email": Account.email_key,
        "username": Account.username,
    },
    tie=Account.id,
    filters={
        "email": lambda email: Account.email_key == emails.search_key(email),
        "username": lambda name: Account.username == name,
        "username_prefix": lambda prefix: starts_with(Account.username, prefix),
        "country": Account.country.in_,
        "dob_gte": lambda day: Account.dob >= day,
        "dob_lte": lambda day: Account.dob <= day,
        "created_gte": lambda instant: Account.created >= instant,
        "created_lt": lambda instant: Account.created < instant,
        "updated_gte": lambda instant: Account.updated >= instant,
        "updated_lt": lambda instant: Account.updated < instant,
    },
)
_INSERT = insert(table_of(Account)).returning(*TARGET.columns)
# What the reader of accounts runs.
BY_ID = select(*TARGET.columns).where(any_id(table_of(Account).c.id))
_CONFLICTS = {"uq_accounts_email_key": EmailTaken}


async def list_accounts(session: AsyncSession, query: AccountQuery) -> Page:
    return await fetch_page(session, LISTING, select(LISTING.json).select_from(Account), query)


async def create_account(
    session: AsyncSession, body: AccountCreate, resolver: Resolver | None
) -> AccountRead:
    await emails.require_deliverable(body.email, resolver)
    values = _with_email_key(body.model_dump())
    with conflicts(_CONFLICTS):
        result = await session.execute(_INSERT, values)
    return cast(AccountRead, TARGET.row(result.one()))


async def retrieve_account(reader: Reader, account_id: UUID) -> AccountRead:
    row = await reader.get(account_id)
    if row is None:
        raise AccountNotFound
    return cast(AccountRead, TARGET.row(row))


async def require_account(session: AsyncSession, account_id: UUID) -> None:
    """Errors: AccountNotFound."""
    if await session.scalar(select(Account.id).where(Account.id == account_id)) is None:
        raise AccountNotFound


async def write_account(
    session: AsyncSession,
    account_id: UUID,
    body: AccountReplace | AccountChange,
    precondition: Precondition,
    resolver: Resolver | None,
) -> AccountRead:
    """Replace an account, or change the fields that the body names."""
    precondition = body.precondition(account_id, precondition)
    if body.email is not MISSING:
        await emails.require_deliverable(body.email, resolver)
    values = _with_email_key(body.values())
    with conflicts(_CONFLICTS):
        row = await update_row(session, TARGET, account_id, values, precondition)
    return cast(AccountRead, row)


async def delete_account(
    session: AsyncSession, account_id: UUID, precondition: Precondition
) -> None:
    with conflicts({"fk_items_account_id": AccountHasItems}):
        await delete_row(session, TARGET, account_id, precondition)


async def delete_account_with_items(
    session: AsyncSession, account_id: UUID, precondition: Precondition
) -> None:
    """Needs a transaction: the account is locked first, so that no item comes in between."""
    await session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    await session.execute(delete(Item).where(Item.account_id == account_id))
    await delete_row(session, TARGET, account_id, precondition)


def _with_email_key(values: dict[str, Any]) -> dict[str, Any]:
    if "email" in values:
        values["email_key"] = emails.unique_key(values["email"])
    return values
