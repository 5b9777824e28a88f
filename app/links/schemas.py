"""What links look like to clients."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from app.accounts.schemas import AccountRead
from app.items.schemas import ItemRead
from app.resources.fields import EXAMPLE_ID, TEXT, Id
from app.resources.lists import PageQuery
from app.resources.times import Instant

Note = Annotated[str, Field(max_length=1000, examples=["For the hall"], json_schema_extra=TEXT)]


class LinkReplace(BaseModel):
    """The item of a favorite or of a reservation."""

    model_config = ConfigDict(extra="forbid")

    item_id: Annotated[Id, Field(examples=[EXAMPLE_ID])]


class WishReplace(BaseModel):
    """A wish: a note left out becomes null."""

    model_config = ConfigDict(extra="forbid")

    note: Note | None = None


class ItemLink(TypedDict):
    """The item that an account has as its favorite, or holds a reservation of."""

    item: ItemRead
    created: Instant


class AccountLink(TypedDict):
    """An account that has an item as its favorite, or holds a reservation of it."""

    account: AccountRead
    created: Instant


class ItemWish(TypedDict):
    """An item that an account wishes for."""

    item: ItemRead
    note: Annotated[str | None, Field(max_length=1000, examples=["For the hall"])]
    created: Instant


class AccountWish(TypedDict):
    """An account that wishes for an item."""

    account: AccountRead
    note: Annotated[str | None, Field(max_length=1000, examples=["For the hall"])]
    created: Instant


class LinkQuery(PageQuery):
    """What the lists of links take; they sort by when the link was made."""

    sort: Literal["created", "-created"] = "-created"
