"""The rules of accounts; each function is one operation on the session it is given."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.accounts.schemas import (
    AccountBatchCreate,
    AccountBatchUpdate,
    AccountChange,
    AccountCreate,
    AccountExportQuery,
    AccountQuery,
    AccountRead,
    AccountReplace,
)
from app.errors import AccountHasItems, AccountNotFound, EmailTaken, TransactionConflict
from app.models import Account, Item, table_of
from app.postgres.refolding import Folded
from app.postgres.sessions import outside_transaction
from app.postgres.time_limits import set_time_limit, waiting_longer
from app.resources import batch_writes, inserts, reads, writes
from app.resources.batch_writes import Found
from app.resources.batches import BatchDelete, BatchGetQuery
from app.resources.exports import Export, Format, export_of
from app.resources.filters import any_of, at_least, at_most, equals, starts_with
from app.resources.import_writes import write_upload
from app.resources.imports import Importable, Options, Report, Upload
from app.resources.lists import Rows, fetch_rows
from app.resources.preconditions import Precondition
from app.resources.resource import Resource

_C = table_of(Account).c
ACCOUNTS = Resource(
    Account,
    AccountRead,
    AccountQuery,
    AccountNotFound,
    sorts={
        "created": _C.created,
        "updated": _C.updated,
        "email": _C.email_key,
        "username": _C.username,
    },
    filters={
        "email": equals(_C.email_key, emails.search_key),
        "username": equals(_C.username),
        "username_prefix": starts_with(_C.username),
        "country": any_of(_C.country),
        "dob_gte": at_least(_C.dob),
        "dob_lte": at_most(_C.dob),
    },
    unique={"email_key": EmailTaken},
    dependents={"fk_items_account_id": AccountHasItems},
)
# `pending` finds the keys of earlier builds, which folded the domain too.
EMAIL_KEYS = Folded(
    table_of(Account),
    sources=["email"],
    fold=lambda row: {"email_key": emails.unique_key(row["email"])},
    unique="email_key",
    pending=func.split_part(_C.email_key, "@", 2) != func.split_part(_C.email, "@", 2),
)


async def list_accounts(session: AsyncSession, query: AccountQuery) -> Rows:
    return await fetch_rows(session, ACCOUNTS.listing, query)


async def batch_get_accounts(session: AsyncSession, query: BatchGetQuery) -> Found:
    return await batch_writes.find(session, ACCOUNTS, query.id)


async def batch_create_accounts(
    session: AsyncSession, batch: AccountBatchCreate, resolver: emails.Resolver | None
) -> Sequence[str]:
    await _require_all_deliverable(session, [row.email for row in batch.data], resolver)
    return await batch_writes.create(session, ACCOUNTS, batch.data, _with_email_key)


async def batch_update_accounts(
    session: AsyncSession,
    batch: AccountBatchUpdate,
    resolver: emails.Resolver | None,
    *,
    versions_required: bool,
) -> Sequence[str]:
    given = [row.email if "email" in row.model_fields_set else None for row in batch.data]
    await _require_all_deliverable(session, given, resolver)
    return await batch_writes.update(
        session, ACCOUNTS, batch.data, _with_email_key, versions_required=versions_required
    )


async def batch_delete_accounts(
    session: AsyncSession, batch: BatchDelete, *, versions_required: bool
) -> None:
    await batch_writes.delete(session, ACCOUNTS, batch.data, versions_required=versions_required)


async def batch_delete_accounts_with_items(
    session: AsyncSession, batch: BatchDelete, time_limit: float, *, versions_required: bool
) -> None:
    """Delete accounts together with their items; each statement may take `time_limit` seconds."""
    items = table_of(Item)

    async def delete_items(account_ids: Sequence[UUID]) -> None:
        owners = bindparam("owners", account_ids, ARRAY(Uuid))
        await session.execute(delete(items).where(items.c.account_id == any_(owners)))

    async with waiting_longer(session, time_limit):
        await session.execute(select(set_time_limit(time_limit)))
        await batch_writes.delete(
            session,
            ACCOUNTS,
            batch.data,
            versions_required=versions_required,
            first=delete_items,
        )


def export_accounts(query: AccountExportQuery, text_format: Format) -> Export:
    return export_of(ACCOUNTS, query, text_format)


async def create_account(
    session: AsyncSession, body: AccountCreate, resolver: emails.Resolver | None
) -> AccountRead:
    await _require_deliverable(session, body.email, resolver)
    return await inserts.create(session, ACCOUNTS, _with_email_key(body.model_dump()))


async def retrieve_account(session: AsyncSession, account_id: UUID) -> AccountRead:
    return await reads.get(session, ACCOUNTS, account_id)


async def write_account(
    session: AsyncSession,
    account_id: UUID,
    body: AccountReplace | AccountChange,
    precondition: Precondition,
    resolver: emails.Resolver | None,
) -> AccountRead:
    """Replace an account, or change the fields that the body names."""
    precondition = body.precondition(account_id, precondition)
    if "email" in body.model_fields_set:
        await _require_deliverable(session, body.email, resolver)
    values = _with_email_key(body.values())
    return await writes.update(session, ACCOUNTS, account_id, values, precondition)


async def delete_account(
    session: AsyncSession, account_id: UUID, precondition: Precondition
) -> None:
    await writes.delete(session, ACCOUNTS, account_id, precondition)


async def _require_deliverable(
    session: AsyncSession, email: str, resolver: emails.Resolver | None
) -> None:
    if resolver is not None:
        async with outside_transaction(session):
            await emails.require_deliverable(email, resolver)


async def _require_all_deliverable(
    session: AsyncSession, given: Sequence[str | None], resolver: emails.Resolver | None
) -> None:
    """The same of the rows of a batch that have an email."""
    if resolver is not None:
        async with outside_transaction(session):
            await emails.require_all_deliverable(given, resolver)


async def delete_account_with_items(
    session: AsyncSession, account_id: UUID, precondition: Precondition, time_limit: float
) -> None:
    """Delete an account together with its items; each statement may take `time_limit` seconds."""
    # Locked first, so that no item is created in between.
    locking = select(_C.version, set_time_limit(time_limit)).where(_C.id == account_id)
    found = (await session.execute(locking.with_for_update())).one_or_none()
    async with waiting_longer(session, time_limit):
        if found is not None:
            precondition.require(found.version)  # before its items are deleted in vain
            items = table_of(Item)
            await session.execute(delete(items).where(items.c.account_id == account_id))
        try:
            await writes.delete(session, ACCOUNTS, account_id, precondition)
        except AccountHasItems:  # created after the snapshot, before the lock
            raise TransactionConflict from None


def _with_email_key(values: dict[str, Any]) -> dict[str, Any]:
    if "email" in values:
        values["email_key"] = emails.unique_key(values["email"])
    return values


ACCOUNT_IMPORT = Importable(
    ACCOUNTS,
    AccountCreate,
    values=_with_email_key,
    derived={"email_key": "email"},
)


async def import_accounts(
    session: AsyncSession, upload: Upload, options: Options, time_limit: float
) -> Report:
    return await write_upload(session, ACCOUNT_IMPORT, upload, options, time_limit)
