"""The requests of links."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.conditions import AbsenceDep
from app.api.openapi.problems import problems
from app.api.responses import Json, made, no_content, page_response
from app.api.routes import JsonRoute
from app.api.sessions import SessionDep
from app.errors import (
    AccountHasReservation,
    AccountNotFound,
    ItemAlreadyReserved,
    ItemNotFound,
    NotFound,
    UnknownItem,
)
from app.links import service
from app.links.kinds import FAVORITED_BY, FAVORITES, RESERVATIONS, WISHED_BY, WISHED_ITEMS, WISHES
from app.links.schemas import (
    AccountLink,
    AccountWish,
    ItemLink,
    ItemWish,
    LinkQuery,
    LinkReplace,
    WishReplace,
)
from app.resources.fields import Id
from app.resources.lists import page_of

favorites = APIRouter(tags=["favorites"], route_class=JsonRoute)
reservations = APIRouter(tags=["reservations"], route_class=JsonRoute)
wishes = APIRouter(tags=["wishes"], route_class=JsonRoute)

ITEM_LINK = Json(ItemLink)
ACCOUNT_LINK = Json(AccountLink)
ITEM_WISH = Json(ItemWish)
ACCOUNT_LINKS = page_of(AccountLink, "accounts that have an item as their favorite")
ITEM_WISHES = page_of(ItemWish, "the items that an account wishes for")
ACCOUNT_WISHES = page_of(AccountWish, "the accounts that wish for an item")


@favorites.get(
    "/accounts/{account_id}/favorite",
    response_model=ItemLink,
    responses=problems(AccountNotFound, NotFound),
)
async def retrieve_favorite(account_id: Id, session: SessionDep) -> Response:
    """Retrieve the favorite item of an account."""
    return ITEM_LINK.link(await service.retrieve(session, FAVORITES, "item", account_id=account_id))


@favorites.put(
    "/accounts/{account_id}/favorite",
    response_model=ItemLink,
    responses={**made(ItemLink), **problems(AccountNotFound, UnknownItem)},
)
async def put_favorite(
    account_id: Id, body: LinkReplace, session: SessionDep, absence: AbsenceDep
) -> Response:
    """Make an item the favorite of an account, instead of another if it has one."""
    link, is_new = await service.put_favorite(session, account_id, body.item_id, absence=absence)
    return ITEM_LINK.link(link, is_new=is_new)


@favorites.delete(
    "/accounts/{account_id}/favorite",
    status_code=204,
    response_class=Response,
    responses=problems(AccountNotFound, NotFound),
)
async def delete_favorite(account_id: Id, session: SessionDep, absence: AbsenceDep) -> Response:
    """Leave an account without a favorite."""
    await service.remove(session, FAVORITES, absence, account_id=account_id)
    return no_content()


@favorites.get(
    "/items/{item_id}/favorited-by",
    response_model=ACCOUNT_LINKS,
    responses=problems(ItemNotFound),
)
async def list_favorited_by(
    item_id: Id, query: Annotated[LinkQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List the accounts whose favorite an item is, the latest first."""
    return page_response(
        await service.fetch_list(session, FAVORITED_BY, query, item_id=item_id), request
    )


@reservations.get(
    "/accounts/{account_id}/reservation",
    response_model=ItemLink,
    responses=problems(AccountNotFound, NotFound),
)
async def retrieve_reservation(account_id: Id, session: SessionDep) -> Response:
    """Retrieve the reservation that an account holds."""
    return ITEM_LINK.link(
        await service.retrieve(session, RESERVATIONS, "item", account_id=account_id)
    )


@reservations.put(
    "/accounts/{account_id}/reservation",
    response_model=ItemLink,
    responses={
        **made(ItemLink),
        **problems(AccountNotFound, UnknownItem, AccountHasReservation, ItemAlreadyReserved),
    },
)
async def put_reservation(
    account_id: Id, body: LinkReplace, session: SessionDep, absence: AbsenceDep
) -> Response:
    """Reserve an item for an account."""
    link, is_new = await service.put_reservation(session, account_id, body.item_id, absence=absence)
    return ITEM_LINK.link(link, is_new=is_new)


@reservations.delete(
    "/accounts/{account_id}/reservation",
    status_code=204,
    response_class=Response,
    responses=problems(AccountNotFound, NotFound),
)
async def delete_reservation(account_id: Id, session: SessionDep, absence: AbsenceDep) -> Response:
    """Give up the reservation that an account holds."""
    await service.remove(session, RESERVATIONS, absence, account_id=account_id)
    return no_content()


@reservations.get(
    "/items/{item_id}/reservation",
    response_model=AccountLink,
    responses=problems(ItemNotFound, NotFound),
)
async def retrieve_item_reservation(item_id: Id, session: SessionDep) -> Response:
    """Retrieve the reservation of an item."""
    return ACCOUNT_LINK.link(
        await service.retrieve(session, RESERVATIONS, "account", item_id=item_id)
    )


@wishes.get(
    "/accounts/{account_id}/wishes",
    response_model=ITEM_WISHES,
    responses=problems(AccountNotFound),
)
async def list_wishes(
    account_id: Id, query: Annotated[LinkQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List the items that an account wishes for, the latest wish first."""
    return page_response(
        await service.fetch_list(session, WISHED_ITEMS, query, account_id=account_id), request
    )


@wishes.get(
    "/accounts/{account_id}/wishes/{item_id}",
    response_model=ItemWish,
    responses=problems(AccountNotFound, ItemNotFound, NotFound),
)
async def retrieve_wish(account_id: Id, item_id: Id, session: SessionDep) -> Response:
    """Retrieve the wish of an account for an item."""
    return ITEM_WISH.link(
        await service.retrieve(session, WISHES, "item", account_id=account_id, item_id=item_id)
    )


@wishes.put(
    "/accounts/{account_id}/wishes/{item_id}",
    response_model=ItemWish,
    responses={**made(ItemWish), **problems(AccountNotFound, ItemNotFound)},
)
async def put_wish(
    account_id: Id, item_id: Id, body: WishReplace, session: SessionDep, absence: AbsenceDep
) -> Response:
    """Let an account wish for an item, or replace the note of its wish."""
    wish, is_new = await service.put_wish(session, account_id, item_id, body.note, absence=absence)
    return ITEM_WISH.link(wish, is_new=is_new)


@wishes.delete(
    "/accounts/{account_id}/wishes/{item_id}",
    status_code=204,
    response_class=Response,
    responses=problems(AccountNotFound, ItemNotFound, NotFound),
)
async def delete_wish(
    account_id: Id, item_id: Id, session: SessionDep, absence: AbsenceDep
) -> Response:
    """Let an account no longer wish for an item."""
    await service.remove(session, WISHES, absence, account_id=account_id, item_id=item_id)
    return no_content()


@wishes.get(
    "/items/{item_id}/wished-by",
    response_model=ACCOUNT_WISHES,
    responses=problems(ItemNotFound),
)
async def list_wished_by(
    item_id: Id, query: Annotated[LinkQuery, Query()], session: SessionDep, request: Request
) -> Response:
    """List the accounts that wish for an item, the latest wish first."""
    return page_response(
        await service.fetch_list(session, WISHED_BY, query, item_id=item_id), request
    )
