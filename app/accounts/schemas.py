"""What an account looks like to clients: created, replaced, changed, read and listed."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from app.accounts.countries import Country
from app.accounts.emails import Email, search_key
from app.accounts.phones import PhoneNumber
from app.accounts.usernames import Username
from app.resources.batches import Batch, BatchChange
from app.resources.exports import ExportQuery, unpaged
from app.resources.fields import (
    FilterText,
    Flag,
    GivenId,
    GivenVersion,
    SystemFields,
    fault,
    partial,
)
from app.resources.lists import TimestampsQuery
from app.resources.times import Date, Instant

EARLIEST_DOB = date(1900, 1, 1)
# What no two accounts of a batch may have in common.
UNIQUE = {"email": search_key}


def _check_dob(value: date) -> date:
    if value < EARLIEST_DOB:
        raise fault("too_small", "Must not be before 1900-01-01.")
    if value > datetime.now(UTC).date() - timedelta(days=1):
        raise fault("too_large", "Must be before today in UTC.")
    return value


BirthDate = Annotated[
    Date,
    AfterValidator(_check_dob),
    Field(description="From 1900-01-01 to yesterday in UTC", examples=["1990-05-17"]),
]


class AccountCreate(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    username: Username
    dob: BirthDate | None = None
    country: Country | None = None
    phone_number: PhoneNumber | None = None


class AccountReplace(AccountCreate, SystemFields):
    """All of an account, as GET gave it: an optional field left out becomes null."""


@partial
class AccountChange(AccountCreate, SystemFields):
    """Changes to an account: a field left out stays, null clears it."""


class AccountRead(TypedDict):
    """An account."""

    id: GivenId
    email: Annotated[str, Field(max_length=254, examples=["ada@example.com"])]
    username: Annotated[str, Field(max_length=100, examples=["ada"])]
    dob: Annotated[date | None, Field(examples=["1990-05-17"])]
    country: Annotated[str | None, Field(max_length=2, examples=["JO"])]
    phone_number: Annotated[str | None, Field(max_length=16, examples=["+962790000000"])]
    created: Instant
    updated: Instant
    version: GivenVersion


class AccountBatchCreate(Batch[AccountCreate]):
    """New accounts."""

    unique = UNIQUE


class AccountBatchChange(BatchChange, AccountChange):
    """Changes to the account of this id."""


class AccountBatchUpdate(Batch[AccountBatchChange]):
    """Changes to accounts: of each, a field left out stays, null clears it."""

    unique = UNIQUE


AccountSort = Literal[
    "created", "-created", "updated", "-updated", "email", "-email", "username", "-username"
]


class AccountQuery(TimestampsQuery):
    """What the list of accounts takes: filters, all of which must hold, and a sort."""

    sort: AccountSort = "-created"
    email: Annotated[FilterText | MISSING, Field(description="Without regard to case")] = MISSING
    username: FilterText | MISSING = MISSING
    username_prefix: FilterText | MISSING = MISSING
    country: Annotated[
        list[Country] | MISSING, Field(max_length=50, description="Any of these")
    ] = MISSING
    dob_gte: Date | MISSING = MISSING
    dob_lte: Date | MISSING = MISSING


@unpaged
class AccountExportQuery(AccountQuery, ExportQuery):
    """What the export of accounts takes."""


class AccountDeleteQuery(BaseModel):
    """How an account is deleted."""

    cascade: Annotated[Flag, Field(description="Delete its items with it")] = False
