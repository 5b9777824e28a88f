"""What an account looks like to clients: created, replaced, changed, read and listed."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)
from typing_extensions import TypedDict

from app.accounts import countries, emails, phones
from app.resources.fields import (
    NOT_BLANK,
    Date,
    FilterText,
    Flag,
    GivenId,
    GivenVersion,
    Instant,
    InstantIn,
    Stripped,
    SystemFields,
    fault,
)
from app.resources.lists import PageQuery

EARLIEST_DOB = date(1900, 1, 1)


def _check_email(value: Any) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > emails.MAX_LENGTH:
        raise fault("too_long", "Must have at most 254 characters.")
    normal = emails.normalize(value)
    if normal is None:
        raise fault("invalid_format", "Must be a valid email address.")
    return normal


def _check_dob(value: date) -> date:
    if value < EARLIEST_DOB:
        raise fault("too_small", "Must not be before 1900-01-01.")
    if value > datetime.now(UTC).date() - timedelta(days=1):
        raise fault("too_large", "Must be before today in UTC.")
    return value


def _check_country(value: Any) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    code = countries.alpha_2(value) if len(value) <= 100 else None
    if code is None:
        raise fault(
            "invalid_format",
            "Must be an ISO 3166-1 code (two or three letters, three digits) or an English name.",
        )
    return code


def _check_phone_number(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > 50:
        raise fault("too_long", "Must have at most 50 characters.")
    country = info.data.get("country")
    number = phones.e164(value, country if isinstance(country, str) else None)
    # If the country itself is invalid, a national number may be valid.
    if number is None and "country" in info.data:
        raise fault(
            "invalid_format",
            "Must be an international number (+962 79 000 0000), or a national one together with "
            "its country.",
        )
    return number or value


Email = Annotated[
    str,
    BeforeValidator(_check_email),
    WithJsonSchema(
        {
            "type": "string",
            "format": "email",
            "minLength": 3,
            "maxLength": 254,
            "examples": ["ada@example.com"],
        }
    ),
]
Username = Annotated[
    str,
    Field(min_length=1, max_length=100, examples=["ada"], json_schema_extra=NOT_BLANK),
    Stripped,
]
BirthDate = Annotated[
    Date,
    AfterValidator(_check_dob),
    Field(description="From 1900-01-01 to yesterday in UTC", examples=["1990-05-17"]),
]
Country = Annotated[
    str,
    BeforeValidator(_check_country),
    Field(
        min_length=2,
        max_length=100,
        description="ISO 3166-1 alpha-2, alpha-3 or three digits, or the English name; any case",
        examples=["Jordan"],
    ),
]
PhoneNumber = Annotated[
    str,
    BeforeValidator(_check_phone_number),
    Field(
        max_length=50,
        description="International, or national when `country` is given in the same body",
        examples=["0790000000"],
    ),
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


class AccountChange(SystemFields):
    """Changes to an account: a field left out stays, null clears it."""

    model_config = ConfigDict(extra="forbid")

    email: Email | MISSING = MISSING
    username: Username | MISSING = MISSING
    dob: BirthDate | None | MISSING = MISSING
    country: Country | None | MISSING = MISSING
    phone_number: PhoneNumber | None | MISSING = MISSING


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


AccountSort = Literal[
    "created", "-created", "updated", "-updated", "email", "-email", "username", "-username"
]


class AccountQuery(PageQuery):
    """What the list of accounts takes: filters, all of which must hold, and a sort."""

    sort: Annotated[AccountSort, Field(description="`-` sorts descending")] = "-created"
    email: Annotated[FilterText | MISSING, Field(description="Without regard to case")] = MISSING
    username: FilterText | MISSING = MISSING
    username_prefix: FilterText | MISSING = MISSING
    country: Annotated[
        list[Country] | MISSING, Field(max_length=50, description="Any of these")
    ] = MISSING
    dob_gte: Date | MISSING = MISSING
    dob_lte: Date | MISSING = MISSING
    created_gte: InstantIn | MISSING = MISSING
    created_lt: InstantIn | MISSING = MISSING
    updated_gte: InstantIn | MISSING = MISSING
    updated_lt: InstantIn | MISSING = MISSING


class AccountDeleteQuery(BaseModel):
    """How an account is deleted."""

    cascade: Annotated[Flag, Field(description="Delete its items with it")] = False
