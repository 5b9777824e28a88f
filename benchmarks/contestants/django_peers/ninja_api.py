"""django-ninja: async operations on Django's async queries, schemas in and out."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import aget_object_or_404
from django.urls import path
from ninja import NinjaAPI, PatchDict, Query, Schema
from pydantic import EmailStr, Field

from benchmarks.contestants.django_peers.models import Account


class AccountIn(Schema):
    email: EmailStr
    username: str = Field(min_length=1, max_length=100)
    dob: date | None = None
    country: str | None = Field(default=None, min_length=2, max_length=2)
    phone_number: str | None = Field(default=None, max_length=20)


class AccountOut(Schema):
    id: UUID
    created: datetime
    updated: datetime
    email: str
    username: str
    dob: date | None
    country: str | None
    phone_number: str | None


api = NinjaAPI()


@api.get("/accounts", response=list[AccountOut])
async def list_accounts(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: datetime | None = None,
    country: str | None = None,
) -> list[Account]:
    accounts = Account.objects.all()
    if country is not None:
        accounts = accounts.filter(country=country)
    if before is not None:
        accounts = accounts.filter(created__lt=before)
    return [account async for account in accounts[:limit]]


@api.post("/accounts", response={201: AccountOut})
async def create_account(request: HttpRequest, data: AccountIn) -> tuple[int, Account]:
    return 201, await Account.objects.acreate(**data.dict())


@api.get("/accounts/{uuid:account_id}", response=AccountOut)
async def retrieve_account(request: HttpRequest, account_id: UUID) -> Account:
    return await aget_object_or_404(Account, id=account_id)


@api.patch("/accounts/{uuid:account_id}", response=AccountOut)
async def update_account(
    request: HttpRequest, account_id: UUID, changes: PatchDict[AccountIn]
) -> Account:
    account = await aget_object_or_404(Account, id=account_id)
    for name, value in changes.items():
        setattr(account, name, value)
    await account.asave()
    return account


urlpatterns = [path("", api.urls)]
