"""FastAPI with an AsyncSession, as most people write it: ORM entities through a response_model."""

import os
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, EmailStr, Field
from sqlalchemy import DateTime, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=int(os.environ["POOL_SIZE"]), max_overflow=0
)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Account(Base):
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


class AccountCreate(BaseModel):
    email: EmailStr
    username: str = Field(min_length=1, max_length=100)
    dob: date | None = None
    country: str | None = Field(default=None, min_length=2, max_length=2)
    phone_number: str | None = Field(default=None, max_length=20)


class AccountUpdate(BaseModel):
    email: EmailStr | None = None
    username: str | None = Field(default=None, min_length=1, max_length=100)
    dob: date | None = None
    country: str | None = Field(default=None, min_length=2, max_length=2)
    phone_number: str | None = Field(default=None, max_length=20)


class AccountRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    created: datetime
    updated: datetime
    email: str
    username: str
    dob: date | None
    country: str | None
    phone_number: str | None


async def get_session() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise


SessionDep = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()


@app.get("/accounts", response_model=list[AccountRead])
async def list_accounts(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: datetime | None = None,
    country: str | None = None,
) -> Sequence[Account]:
    statement = select(Account)
    if country is not None:
        statement = statement.where(Account.country == country)
    if before is not None:
        statement = statement.where(Account.created < before)
    result = await session.execute(statement.order_by(Account.created.desc()).limit(limit))
    return result.scalars().all()


@app.post("/accounts", response_model=AccountRead, status_code=201)
async def create_account(body: AccountCreate, session: SessionDep) -> Any:
    account = Account(**body.model_dump())
    session.add(account)
    await session.flush()
    await session.refresh(account)
    return account


@app.get("/accounts/{account_id}", response_model=AccountRead)
async def retrieve_account(account_id: uuid.UUID, session: SessionDep) -> Any:
    account = await session.get(Account, account_id)
    if account is None:
        raise HTTPException(status_code=404, detail="Account not found")
    return account


@app.patch("/accounts/{account_id}", response_model=AccountRead)
async def update_account(account_id: uuid.UUID, body: AccountUpdate, session: SessionDep) -> Any:
    account = await session.get(Account, account_id)
    if account is None:
        raise HTTPException(status_code=404, detail="Account not found")
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(account, name, value)
    await session.flush()
    await session.refresh(account)
    return account
