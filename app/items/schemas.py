"""What an item looks like to clients: created, replaced, changed, read and listed."""

import re
from typing import Annotated, Any, Literal

from pydantic import MISSING, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import Url
from typing_extensions import TypedDict

from app.resources.fields import (
    EXAMPLE_ID,
    NOT_BLANK,
    TEXT,
    FilterText,
    GivenId,
    GivenVersion,
    Id,
    Instant,
    InstantIn,
    Price,
    PriceFilter,
    PriceIn,
    Stripped,
    SystemFields,
    fault,
)
from app.resources.lists import PageQuery

# Url() accepts http:///host as http://host, which other parsers do not.
_HTTP_URL = re.compile(r"https?://(?!/)[^\s\x00-\x20\x7f\\<>\"^`{|}]+", re.IGNORECASE)


def _check_image_link(value: Any) -> Any:
    """Checked, never fetched, and stored unchanged: a normalized link may be another link."""
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value) > 1000:
        raise fault("too_long", "Must have at most 1000 characters.")
    try:
        if not _HTTP_URL.fullmatch(value) or not Url(value).host:
            raise ValueError
    except ValueError:
        raise fault("invalid_format", "Must be an http or https URL.") from None
    return value


Owner = Annotated[Id, Field(description="The owner", examples=[EXAMPLE_ID])]
Name = Annotated[
    str,
    Field(min_length=1, max_length=50, examples=["Lamp"], json_schema_extra=NOT_BLANK),
    Stripped,
]
Description = Annotated[
    str, Field(max_length=10_000, examples=["Brass, 40 cm"], json_schema_extra=TEXT)
]
ImageLink = Annotated[
    str,
    BeforeValidator(_check_image_link),
    WithJsonSchema(
        {
            "type": "string",
            "format": "uri",
            "maxLength": 1000,
            "pattern": "^[hH][tT][tT][pP][sS]?://",
            "examples": ["https://example.com/lamp.jpg"],
        }
    ),
]
PriceOrDefault = Annotated[
    PriceIn | None,
    Field(description="At most 2 decimals; null means 0.00", examples=["19.90"]),
]


class ItemCreate(BaseModel):
    """A new item."""

    model_config = ConfigDict(extra="forbid")

    account_id: Owner
    name: Name
    price: PriceOrDefault = None
    description: Description | None = None
    image_link: ImageLink


class ItemReplace(ItemCreate, SystemFields):
    """All of an item, as GET gave it: an optional field left out becomes null or its default."""


class ItemChange(SystemFields):
    """Changes to an item: a field left out stays, null clears it."""

    model_config = ConfigDict(extra="forbid")

    account_id: Owner | MISSING = MISSING
    name: Name | MISSING = MISSING
    price: PriceOrDefault | MISSING = MISSING
    description: Description | None | MISSING = MISSING
    image_link: ImageLink | MISSING = MISSING


class ItemRead(TypedDict):
    """An item."""

    id: GivenId
    account_id: GivenId
    name: Annotated[str, Field(max_length=50, examples=["Lamp"])]
    price: Price
    description: Annotated[str | None, Field(max_length=10_000, examples=["Brass, 40 cm"])]
    image_link: Annotated[str, Field(max_length=1000, examples=["https://example.com/lamp.jpg"])]
    created: Instant
    updated: Instant
    version: GivenVersion


ItemSort = Literal["created", "-created", "updated", "-updated", "name", "-name", "price", "-price"]


class OwnedItemQuery(PageQuery):
    """What the list of one account's items takes: filters, all of which must hold, and a sort."""

    sort: Annotated[ItemSort, Field(description="`-` sorts descending")] = "-created"
    name: FilterText | MISSING = MISSING
    name_prefix: FilterText | MISSING = MISSING
    price_gte: PriceFilter | MISSING = MISSING
    price_lte: PriceFilter | MISSING = MISSING
    created_gte: InstantIn | MISSING = MISSING
    created_lt: InstantIn | MISSING = MISSING
    updated_gte: InstantIn | MISSING = MISSING
    updated_lt: InstantIn | MISSING = MISSING
    q: Annotated[
        FilterText | MISSING,
        Field(description="Words that name and description, taken together, must all have"),
    ] = MISSING


class ItemQuery(OwnedItemQuery):
    """What the list of items takes."""

    account_id: Annotated[Id | MISSING, Field(description="The owner")] = MISSING
