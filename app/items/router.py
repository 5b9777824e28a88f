"""The requests of items."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.conditions import PreconditionDep, ReadConditionDep
from app.api.openapi.problems import problems
from app.api.responses import Json, no_content, page_response
from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.errors import AccountNotFound, ItemNotFound, UnknownAccount
from app.items import service
from app.items.schemas import (
    ItemChange,
    ItemCreate,
    ItemQuery,
    ItemRead,
    ItemReplace,
    OwnedItemQuery,
)
from app.resources.fields import Id
from app.resources.lists import page_of

router = APIRouter(prefix="/items", tags=["items"], route_class=StrictRoute)
owned_router = APIRouter(
    prefix="/accounts/{account_id}/items", tags=["items"], route_class=StrictRoute
)
ITEM = Json(ItemRead)
PAGE = page_of(ItemRead, "items")


@router.get("", response_model=PAGE)
async def list_items(
    query: Annotated[ItemQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List items, newest first."""
    return page_response(await service.list_items(session, query), request)


@router.post("", status_code=201, response_model=ItemRead, responses=problems(UnknownAccount))
async def create_item(body: ItemCreate, session: SessionDep, request: Request) -> Response:
    """Create an item."""
    item = await service.create_item(session, body)
    return ITEM.resource(item, created_by=request)


@router.get("/{item_id}", response_model=ItemRead, responses=problems(ItemNotFound))
async def retrieve_item(item_id: Id, session: SessionDep, condition: ReadConditionDep) -> Response:
    """Retrieve an item."""
    item = await service.retrieve_item(session, item_id)
    return ITEM.resource(item, condition=condition)


@router.put("/{item_id}", response_model=ItemRead, responses=problems(ItemNotFound, UnknownAccount))
async def replace_item(
    item_id: Id, body: ItemReplace, session: SessionDep, precondition: PreconditionDep
) -> Response:
    """Replace an item: an optional field left out becomes null or its default."""
    return ITEM.resource(await service.write_item(session, item_id, body, precondition))


@router.patch(
    "/{item_id}",
    response_model=ItemRead,
    responses=problems(ItemNotFound, UnknownAccount),
)
async def change_item(
    item_id: Id, body: ItemChange, session: SessionDep, precondition: PreconditionDep
) -> Response:
    """Change an item (JSON merge patch): a field left out stays, null clears it."""
    return ITEM.resource(await service.write_item(session, item_id, body, precondition))


@router.delete(
    "/{item_id}",
    status_code=204,
    response_class=Response,
    responses=problems(ItemNotFound),
)
async def delete_item(item_id: Id, session: SessionDep, precondition: PreconditionDep) -> Response:
    """Delete an item."""
    await service.delete_item(session, item_id, precondition)
    return no_content()


@owned_router.get("", response_model=PAGE, responses=problems(AccountNotFound))
async def list_account_items(
    account_id: Id,
    query: Annotated[OwnedItemQuery, Query()],
    session: SessionDep,
    request: Request,
) -> Response:
    """List the items that an account owns, newest first."""
    return page_response(await service.list_account_items(session, account_id, query), request)
