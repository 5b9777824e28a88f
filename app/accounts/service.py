"""The rules of accounts; each function is one operation on the session it is given."""

from typing import Any, cast
from uuid import UUID

from dns.asyncresolver import Resolver
from pydantic import MISSING
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.accounts.schemas import (
    AccountChange,
    AccountCreate,
    AccountQuery,
    AccountRead,
    AccountReplace,
)
from app.errors import AccountHasItems, AccountNotFound, EmailTaken
from app.models import Account, Item
from app.postgres.schema import columns_of, table_of
from app.postgres.statements import Session, Statements
from app.resources.constraints import conflicts
from app.resources.filters import any_of, at_least, at_most, equals, less_than, starts_with
from app.resources.inserts import insert_row, make_insertion
from app.resources.json_rows import json_row
from app.resources.pages import Listing, Page, fetch_page
from app.resources.reads import Reader, any_id
from app.resources.writes import Precondition, Target, delete_row, update_row

_C = table_of(Account).c
JSON = json_row(Account, AccountRead)
TARGET = Target(Account, columns_of(Account, AccountRead), AccountNotFound)
LISTING = Listing(
    "accounts",
    select(JSON).select_from(table_of(Account)),
    sorts={
        "created": _C.created,
        "updated": _C.updated,
        "email": _C.email_key,
        "username": _C.username,
    },
    tie=_C.id,
    filters={
        "email": equals(_C.email_key, emails.search_key),
        "username": equals(_C.username),
        "username_prefix": starts_with(_C.username),
        "country": any_of(_C.country),
        "dob_gte": at_least(_C.dob),
        "dob_lte": at_most(_C.dob),
        "created_gte": at_least(_C.created),
        "created_lt": less_than(_C.created),
        "updated_gte": at_least(_C.updated),
        "updated_lt": less_than(_C.updated),
    },
)
INSERTION = make_insertion(
    TARGET,
    ("email", "email_key", "username", "dob", "country", "phone_number"),
    EmailTaken,
    unique="email_key",
)
# What the reader of accounts runs.
BY_ID = select(*TARGET.columns).where(any_id(_C.id))
_CONFLICTS = {"uq_accounts_email_key": EmailTaken}


async def list_accounts(session: Statements, query: AccountQuery) -> Page:
    return await fetch_page(session, LISTING, query)


async def create_account(
    session: Session, body: AccountCreate, resolver: Resolver | None
) -> AccountRead:
    await emails.require_deliverable(body.email, resolver)
    values = _with_email_key(body.model_dump())
    return cast(AccountRead, await insert_row(session, INSERTION, values))


async def retrieve_account(reader: Reader, account_id: UUID) -> AccountRead:
    row = await reader.get(account_id)
    if row is None:
        raise AccountNotFound
    return cast(AccountRead, TARGET.row(row))


async def account_exists(session: Session, account_id: UUID) -> bool:
    return await session.scalar(select(Account.id).where(Account.id == account_id)) is not None


async def require_account(session: Session, account_id: UUID) -> None:
    """Errors: AccountNotFound."""
    if not await account_exists(session, account_id):
        raise AccountNotFound


async def write_account(
    session: Session,
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


async def delete_account(session: Session, account_id: UUID, precondition: Precondition) -> None:
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
