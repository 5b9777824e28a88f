"""The requests of items."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

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
from app.api.validate_only import validatable
from app.errors import AccountNotFound, ImportRejected, ItemNotFound, UnknownAccount
from app.items import service
from app.items.schemas import (
    ItemBatchCreate,
    ItemBatchUpdate,
    ItemChange,
    ItemCreate,
    ItemExportQuery,
    ItemQuery,
    ItemRead,
    ItemReplace,
    OwnedItemQuery,
)
from app.problems import ImportReport
from app.resources.batches import BatchDelete, BatchGetQuery, batch_of, found_of
from app.resources.fields import Id
from app.resources.imports import Upload
from app.resources.lists import page_of

router = APIRouter(prefix="/items", tags=["items"], route_class=StrictRoute)
owned_router = APIRouter(
    prefix="/accounts/{account_id}/items", tags=["items"], route_class=StrictRoute
)
ITEM = Json(ItemRead)
PAGE = page_of(ItemRead, "items")
BATCH = batch_of(ItemRead, "items")


@router.get("", response_model=PAGE)
async def list_items(
    query: Annotated[ItemQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List items, newest first."""
    return page_response(await service.list_items(session, query), request)


@router.get(":batchGet", response_model=found_of(ItemRead, "items"))
async def batch_get_items(
    query: Annotated[BatchGetQuery, Query()], session: SessionDep
) -> Response:
    """Retrieve items by their ids."""
    return found_response(await service.batch_get_items(session, query))


@router.post(
    ":batchCreate", status_code=201, response_model=BATCH, responses=problems(UnknownAccount)
)
@validatable
async def batch_create_items(body: ItemBatchCreate, session: SessionDep) -> Response:
    """Create items, all or none of them."""
    return batch_response(await service.batch_create_items(session, body), created=True)


@router.post(":batchUpdate", response_model=BATCH, responses=problems(ItemNotFound, UnknownAccount))
@validatable
async def batch_update_items(
    body: ItemBatchUpdate, session: SessionDep, versions_required: VersionsRequiredDep
) -> Response:
    """Change items, all or none of them: a field left out stays, null clears it."""
    rows = await service.batch_update_items(session, body, versions_required=versions_required)
    return batch_response(rows)


@router.post(
    ":batchDelete", status_code=204, response_class=Response, responses=problems(ItemNotFound)
)
@validatable
async def batch_delete_items(
    body: BatchDelete, session: SessionDep, versions_required: VersionsRequiredDep
) -> Response:
    """Delete items, all or none of them."""
    await service.batch_delete_items(session, body, versions_required=versions_required)
    return no_content()


@router.get(":export", response_class=Response, responses=exported("items"))
async def export_items(
    query: Annotated[ItemExportQuery, Query()], accepted: AcceptedFormatDep, request: Request
) -> Response:
    """Export all items that the filters let through, as one snapshot."""
    chosen = chosen_format(query, accepted)
    return ExportResponse(service.export_items(query, chosen), request)


@router.post("", status_code=201, response_model=ItemRead, responses=problems(UnknownAccount))
@validatable
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
@validatable
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
@validatable
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


ItemUploadDep = Annotated[Upload, Depends(Uploads(service.ITEM_IMPORT), scope="function")]


@router.post(
    ":import",
    response_model=ImportReport,
    responses=problems(ImportRejected),
)
@validatable
async def import_items(
    query: Annotated[ImportQuery, Query()],
    upload: ItemUploadDep,
    session: SessionDep,
    time_limit: ImportTimeoutDep,
) -> Response:
    """Import items from CSV or NDJSON, all or none, each by the rules of a single request."""
    report = await service.import_items(session, upload, query.options, time_limit)
    return report_response(report)
