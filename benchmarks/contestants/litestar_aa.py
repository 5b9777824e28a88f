"""Litestar with advanced-alchemy: a controller on a repository service, msgspec structs out."""

import os
import uuid
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from advanced_alchemy.base import DefaultBase
from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin,
    providers,
)
from advanced_alchemy.filters import BeforeAfter, CollectionFilter, LimitOffset, OrderBy
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar import Controller, Litestar, get, patch, post
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import DateTime, String, func
from sqlalchemy.orm import Mapped, mapped_column


class Account(DefaultBase):
    __tablename__ = "accounts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    created: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )
    updated: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )
    email: Mapped[str] = mapped_column(String(254), unique=True)
    username: Mapped[str] = mapped_column(String(100))
    dob: Mapped[date | None]
    country: Mapped[str | None] = mapped_column(String(100))
    phone_number: Mapped[str | None] = mapped_column(String(20))


Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
Username = Annotated[str, Meta(min_length=1, max_length=100)]
Country = Annotated[str, Meta(min_length=2, max_length=2)]


class AccountCreate(Struct):
    email: Email
    username: Username
    dob: date | None = None
    country: Country | None = None
    phone_number: str | None = None


class AccountUpdate(Struct):
    email: Email | UnsetType = UNSET
    username: Username | UnsetType = UNSET
    dob: date | UnsetType | None = UNSET
    country: Country | UnsetType | None = UNSET
    phone_number: str | UnsetType | None = UNSET


class AccountRead(Struct):
    id: uuid.UUID
    created: datetime
    updated: datetime
    email: str
    username: str
    dob: date | None
    country: str | None
    phone_number: str | None


class AccountService(SQLAlchemyAsyncRepositoryService[Account]):
    class Repository(SQLAlchemyAsyncRepository[Account]):
        model_type = Account

    repository_type = Repository


class AccountController(Controller):
    path = "/accounts"
    dependencies = providers.create_service_dependencies(AccountService, "accounts")

    @get()
    async def list_accounts(
        self,
        accounts: AccountService,
        limit: int = 50,
        before: datetime | None = None,
        country: str | None = None,
    ) -> Sequence[AccountRead]:
        found = await accounts.get_many(
            CollectionFilter("country", None if country is None else [country]),
            BeforeAfter("created", before=before, after=None),
            OrderBy("created", "desc"),
            LimitOffset(limit, 0),
        )
        return accounts.to_schema(found, schema_type=AccountRead).items

    @post()
    async def create_account(self, accounts: AccountService, data: AccountCreate) -> AccountRead:
        account = await accounts.create(data)
        return accounts.to_schema(account, schema_type=AccountRead)

    @get("/{account_id:uuid}")
    async def retrieve_account(
        self, accounts: AccountService, account_id: uuid.UUID
    ) -> AccountRead:
        return accounts.to_schema(await accounts.get(account_id), schema_type=AccountRead)

    @patch("/{account_id:uuid}")
    async def update_account(
        self, accounts: AccountService, account_id: uuid.UUID, data: AccountUpdate
    ) -> AccountRead:
        account = await accounts.update(data, item_id=account_id)
        return accounts.to_schema(account, schema_type=AccountRead)


database = SQLAlchemyAsyncConfig(
    connection_string=os.environ["DATABASE_URL"],
    engine_config=EngineConfig(pool_size=int(os.environ["POOL_SIZE"]), max_overflow=0),
    session_config=AsyncSessionConfig(expire_on_commit=False),
    before_send_handler="autocommit",
)
app = Litestar(route_handlers=[AccountController], plugins=[SQLAlchemyPlugin(config=database)])
