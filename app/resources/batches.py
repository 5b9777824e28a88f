"""Batches: many rows in one request. What they consist of, and their schemas."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar, get_args
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, Field, create_model

from app.errors import Fault
from app.resources.fields import EXAMPLE_ID, Id, SystemFields, Version
from app.resources.preconditions import UNCONDITIONAL, Precondition

MAX_ROWS: Final = 1000
MAX_IDS: Final = 200

Row = TypeVar("Row", bound=BaseModel)
Read = TypeVar("Read")


class Batch(BaseModel, Generic[Row]):
    """Rows that are written together, all or none of them."""

    model_config = ConfigDict(extra="forbid")

    # Fields of which no two rows may have equal values, each with what is equal for such values.
    unique: ClassVar[Mapping[str, Callable[[Any], object]]] = {}

    data: Annotated[list[Row], Field(min_length=1, max_length=MAX_ROWS)]

    @classmethod
    def row(cls) -> type[BaseModel]:
        """The schema of a row."""
        schema: type[BaseModel]
        (schema,) = get_args(cls.model_fields["data"].annotation)
        return schema


class BatchGetQuery(BaseModel):
    """Which rows to retrieve."""

    id: Annotated[
        list[Id], Field(min_length=1, max_length=MAX_IDS, description="The ids, at most 200")
    ]


class RowVersion(BaseModel):
    """A row to delete, and the version that it must have, if one is given."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[Id, Field(examples=[EXAMPLE_ID])]
    version: Annotated[Version | MISSING, Field(description="Counts as If-Match")] = MISSING


class BatchDelete(Batch[RowVersion]):
    """Rows to delete."""


class BatchChange(SystemFields):
    """The system's fields of a row to change, as GET gave it. It is found by its id."""

    id: Annotated[Id, Field(description="The row to change", examples=[EXAMPLE_ID])]


def precondition_of(row: RowVersion | BatchChange, *, version_required: bool) -> Precondition:
    """What must hold for the row."""
    if row.version is MISSING:
        return Precondition(missing=version_required)
    return UNCONDITIONAL.narrowed_to(row.version)


class BatchRead(BaseModel, Generic[Read]):
    """Rows, in the order of the request."""

    data: Annotated[list[Read], Field(max_length=MAX_ROWS)]


class BatchFound(BaseModel, Generic[Read]):
    """Rows in the order asked, and the ids that no row has."""

    data: Annotated[list[Read], Field(max_length=MAX_IDS)]
    missing: Annotated[list[UUID], Field(max_length=MAX_IDS, examples=[[]])]


def batch_of(read: type[Any], rows: str) -> type[BaseModel]:
    """The schema of the rows that a batch has written, under a name for generated clients."""
    return _named(BatchRead, read, "Batch", f"The {rows}, in the order of the request.")


def found_of(read: type[Any], rows: str) -> type[BaseModel]:
    """The schema of the rows that a batch has found, likewise."""
    about = f"The {rows} in the order asked, each once, and the ids that none has."
    return _named(BatchFound, read, "BatchFound", about)


def _named(base: Any, read: type[Any], suffix: str, about: str) -> type[BaseModel]:
    name = f"{read.__name__.removesuffix('Read')}{suffix}"
    schema: type[BaseModel] = create_model(name, __base__=base[read], __doc__=about)
    return schema


def at_row(row: int, fault: Fault) -> Fault:
    """The fault of one row, as that of a batch."""
    return {**fault, "pointer": f"/data/{row}{fault['pointer']}"}
