"""The kinds of links between accounts and items, each described once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from app.accounts.service import ACCOUNTS
from app.items.service import ITEMS
from app.models import Base, Favorite, Reservation, Wish, table_of
from app.resources.json_rows import json_object
from app.resources.lists import PARENT_ID, Listing
from app.resources.resource import Resource

ENDS: Mapping[str, Resource[Any]] = {"account": ACCOUNTS, "item": ITEMS}


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A kind of link between accounts and items.

    missing: the detail of the 404 of a link that is not there, by the end that was asked for.
    key: the columns that identify a link.
    replaced: the columns that a second PUT replaces; without any, the link stays as it is.
    fields: the columns that clients see besides the end.
    """

    model: type[Base]
    missing: Mapping[str, str]
    key: Sequence[str] = ("account_id",)
    replaced: Sequence[str] = ()
    fields: Sequence[str] = ("created",)

    @property
    def table(self) -> Table:
        return table_of(self.model)

    def listing(self, name: str, end: str) -> Listing:
        """The list of the `end`s that are linked with one of the other ends."""
        (other,) = ENDS.keys() - {end}
        resource, table = ENDS[end], self.table
        fields = {field: table.c[field] for field in self.fields}
        return Listing(
            name,
            select(json_object({end: resource.json, **fields}))
            .join_from(resource.table, table, table.c[f"{end}_id"] == resource.table.c.id)
            .where(table.c[f"{other}_id"] == PARENT_ID),
            sorts={"created": table.c.created},
            tie=table.c[f"{end}_id"],
        )


FAVORITES = Link(Favorite, {"item": "This account has no favorite."}, replaced=("item_id",))
RESERVATIONS = Link(
    Reservation,
    {"item": "This account holds no reservation.", "account": "This item is not reserved."},
)
WISHES = Link(
    Wish,
    {"item": "This account does not wish for this item."},
    key=("account_id", "item_id"),
    replaced=("note",),
    fields=("note", "created"),
)
FAVORITED_BY = FAVORITES.listing("favorited-by", "account")
WISHED_ITEMS = WISHES.listing("wishes", "item")
WISHED_BY = WISHES.listing("wished-by", "account")
