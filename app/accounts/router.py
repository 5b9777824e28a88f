"""The requests of accounts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.accounts import emails, service
from app.accounts.schemas import (
    AccountChange,
    AccountCreate,
    AccountDeleteQuery,
    AccountQuery,
    AccountRead,
    AccountReplace,
)
from app.api.arguments import repeatable
from app.api.conditions import PreconditionDep, ReadConditionDep
from app.api.openapi.problems import problems
from app.api.responses import Json, no_content, page_response
from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.config import Settings
from app.errors import AccountHasItems, AccountNotFound, EmailTaken
from app.resources.fields import Id
from app.resources.lists import page_of

router = APIRouter(prefix="/accounts", tags=["accounts"], route_class=StrictRoute)
ACCOUNT = Json(AccountRead)
PAGE = page_of(AccountRead, "accounts")


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


@router.post("", status_code=201, response_model=AccountRead, responses=problems(EmailTaken))
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
