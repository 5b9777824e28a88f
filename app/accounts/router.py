"""The requests of accounts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.accounts import emails, service
from app.accounts.schemas import (
    AccountBatchCreate,
    AccountBatchUpdate,
    AccountChange,
    AccountCreate,
    AccountDeleteQuery,
    AccountExportQuery,
    AccountQuery,
    AccountRead,
    AccountReplace,
)
from app.api.arguments import repeatable
from app.api.conditions import PreconditionDep, ReadConditionDep, VersionsRequiredDep
from app.api.exports import AcceptedFormatDep, ExportResponse, chosen_format, exported
from app.api.imports.uploads import ImportQuery, ImportTimeoutDep, Uploads
from app.api.openapi.problems import problems
from app.api.responses import (
    Json,
    batch_response,
    found_response,
    no_content,
    page_response,
    report_response,
)
from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.api.validate_only import WriteQuery, validatable
from app.config import Settings
from app.errors import AccountHasItems, AccountNotFound, EmailTaken, ImportRejected
from app.problems import ImportReport
from app.resources.batches import BatchDelete, BatchGetQuery, batch_of, found_of
from app.resources.fields import Id
from app.resources.imports import Upload
from app.resources.lists import page_of

router = APIRouter(prefix="/accounts", tags=["accounts"], route_class=StrictRoute)
ACCOUNT = Json(AccountRead)
PAGE = page_of(AccountRead, "accounts")
BATCH = batch_of(AccountRead, "accounts")


class AccountBatchDeleteQuery(AccountDeleteQuery, WriteQuery):
    """How accounts are deleted together."""


@repeatable
async def get_email_resolver(request: Request) -> emails.Resolver | None:
    resolver: emails.Resolver | None = request.app.state.email_resolver
    return resolver


ResolverDep = Annotated[emails.Resolver | None, Depends(get_email_resolver)]


@repeatable
async def get_cascade_timeout(request: Request) -> float:
    settings: Settings = request.app.state.settings
    return settings.cascade_timeout


CascadeTimeoutDep = Annotated[float, Depends(get_cascade_timeout)]


@router.get("", response_model=PAGE)
async def list_accounts(
    query: Annotated[AccountQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List accounts, newest first."""
    return page_response(await service.list_accounts(session, query), request)


@router.get(":batchGet", response_model=found_of(AccountRead, "accounts"))
async def batch_get_accounts(
    query: Annotated[BatchGetQuery, Query()], session: SessionDep
) -> Response:
    """Retrieve accounts by their ids."""
    return found_response(await service.batch_get_accounts(session, query))


@router.post(":batchCreate", status_code=201, response_model=BATCH, responses=problems(EmailTaken))
@validatable
async def batch_create_accounts(
    body: AccountBatchCreate, session: SessionDep, resolver: ResolverDep
) -> Response:
    """Create accounts, all or none of them."""
    rows = await service.batch_create_accounts(session, body, resolver)
    return batch_response(rows, created=True)


@router.post(":batchUpdate", response_model=BATCH, responses=problems(AccountNotFound, EmailTaken))
@validatable
async def batch_update_accounts(
    body: AccountBatchUpdate,
    session: SessionDep,
    resolver: ResolverDep,
    versions_required: VersionsRequiredDep,
) -> Response:
    """Change accounts, all or none of them: a field left out stays, null clears it."""
    rows = await service.batch_update_accounts(
        session, body, resolver, versions_required=versions_required
    )
    return batch_response(rows)


@router.post(
    ":batchDelete",
    status_code=204,
    response_class=Response,
    responses=problems(AccountNotFound, AccountHasItems),
)
@validatable
async def batch_delete_accounts(
    body: BatchDelete,
    query: Annotated[AccountBatchDeleteQuery, Query()],
    session: SessionDep,
    versions_required: VersionsRequiredDep,
    time_limit: CascadeTimeoutDep,
) -> Response:
    """Delete accounts, all or none of them; those that own items only with them (`cascade`)."""
    if query.cascade:
        await service.batch_delete_accounts_with_items(
            session, body, time_limit, versions_required=versions_required
        )
    else:
        await service.batch_delete_accounts(session, body, versions_required=versions_required)
    return no_content()


@router.get(":export", response_class=Response, responses=exported("accounts"))
async def export_accounts(
    query: Annotated[AccountExportQuery, Query()], accepted: AcceptedFormatDep, request: Request
) -> Response:
    """Export all accounts that the filters let through, as one snapshot."""
    chosen = chosen_format(query, accepted)
    return ExportResponse(service.export_accounts(query, chosen), request)


@router.post("", status_code=201, response_model=AccountRead, responses=problems(EmailTaken))
@validatable
async def create_account(
    body: AccountCreate, session: SessionDep, resolver: ResolverDep, request: Request
) -> Response:
    """Create an account."""
    account = await service.create_account(session, body, resolver)
    return ACCOUNT.resource(account, created_by=request)


@router.get("/{account_id}", response_model=AccountRead, responses=problems(AccountNotFound))
async def retrieve_account(
    account_id: Id, session: SessionDep, condition: ReadConditionDep
) -> Response:
    """Retrieve an account."""
    account = await service.retrieve_account(session, account_id)
    return ACCOUNT.resource(account, condition=condition)


@router.put(
    "/{account_id}",
    response_model=AccountRead,
    responses=problems(AccountNotFound, EmailTaken),
)
@validatable
async def replace_account(
    account_id: Id,
    body: AccountReplace,
    session: SessionDep,
    precondition: PreconditionDep,
    resolver: ResolverDep,
) -> Response:
    """Replace an account: an optional field left out becomes null."""
    account = await service.write_account(session, account_id, body, precondition, resolver)
    return ACCOUNT.resource(account)


@router.patch(
    "/{account_id}",
    response_model=AccountRead,
    responses=problems(AccountNotFound, EmailTaken),
)
@validatable
async def change_account(
    account_id: Id,
    body: AccountChange,
    session: SessionDep,
    precondition: PreconditionDep,
    resolver: ResolverDep,
) -> Response:
    """Change an account (JSON merge patch): a field left out stays, null clears it."""
    account = await service.write_account(session, account_id, body, precondition, resolver)
    return ACCOUNT.resource(account)


@router.delete(
    "/{account_id}",
    status_code=204,
    response_class=Response,
    responses=problems(AccountNotFound, AccountHasItems),
)
async def delete_account(
    account_id: Id,
    query: Annotated[AccountDeleteQuery, Query()],
    session: SessionDep,
    precondition: PreconditionDep,
    time_limit: CascadeTimeoutDep,
) -> Response:
    """Delete an account; one that owns items only together with them (`cascade`)."""
    if query.cascade:
        await service.delete_account_with_items(session, account_id, precondition, time_limit)
    else:
        await service.delete_account(session, account_id, precondition)
    return no_content()


AccountUploadDep = Annotated[Upload, Depends(Uploads(service.ACCOUNT_IMPORT), scope="function")]


@router.post(
    ":import",
    response_model=ImportReport,
    responses=problems(ImportRejected),
)
@validatable
async def import_accounts(
    query: Annotated[ImportQuery, Query()],
    upload: AccountUploadDep,
    session: SessionDep,
    time_limit: ImportTimeoutDep,
) -> Response:
    """Import accounts from CSV or NDJSON, all or none, each by the rules of a single request."""
    report = await service.import_accounts(session, upload, query.options, time_limit)
    return report_response(report)
