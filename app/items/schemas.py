"""What an item looks like to clients: created, replaced, changed, read and listed."""

from typing import Annotated, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from app.items.image_links import ImageLink
from app.resources.batches import Batch, BatchChange
from app.resources.exports import ExportQuery, unpaged
from app.resources.fields import (
    EXAMPLE_ID,
    NOT_BLANK,
    TEXT,
    FilterText,
    GivenId,
    GivenVersion,
    Id,
    Price,
    PriceFilter,
    PriceInput,
    Stripped,
    SystemFields,
    partial,
)
from app.resources.lists import TimestampsQuery
from app.resources.times import Instant

Owner = Annotated[Id, Field(description="The owner", examples=[EXAMPLE_ID])]
Name = Annotated[
    str,
    Field(min_length=1, max_length=50, examples=["Lamp"], json_schema_extra=NOT_BLANK),
    Stripped,
]
Description = Annotated[
    str, Field(max_length=10_000, examples=["Brass, 40 cm"], json_schema_extra=TEXT)
]
PriceOrDefault = Annotated[
    PriceInput | None,
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


@partial
class ItemChange(ItemCreate, SystemFields):
    """Changes to an item: a field left out stays, null clears it."""


class ItemBatchCreate(Batch[ItemCreate]):
    """New items."""


class ItemBatchChange(BatchChange, ItemChange):
    """Changes to the item of this id."""


class ItemBatchUpdate(Batch[ItemBatchChange]):
    """Changes to items: of each, a field left out stays, null clears it."""


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


class OwnedItemQuery(TimestampsQuery):
    """What the list of one account's items takes: filters, all of which must hold, and a sort."""

    sort: ItemSort = "-created"
    name: FilterText | MISSING = MISSING
    name_prefix: FilterText | MISSING = MISSING
    price_gte: PriceFilter | MISSING = MISSING
    price_lte: PriceFilter | MISSING = MISSING
    q: Annotated[
        FilterText | MISSING,
        Field(
            description="Words that name and description, taken together, must all have. Case, "
            "punctuation and symbols make no difference. In scripts without spaces, such as "
            "Chinese, Japanese and Thai, any part of a text is found"
        ),
    ] = MISSING


class ItemQuery(OwnedItemQuery):
    """What the list of items takes."""

    account_id: Annotated[Id | MISSING, Field(description="The owner")] = MISSING


@unpaged
class ItemExportQuery(ItemQuery, ExportQuery):
    """What the export of items takes."""
