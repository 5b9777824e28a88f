"""What an import takes and what it reports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Generic, Literal

from pydantic import BaseModel
from sqlalchemy import Column

from app.errors import Fault
from app.resources.resource import Read, Resource

OnConflict = Literal["fail", "skip", "update"]
OnError = Literal["fail", "skip"]
MAX_FAULTS = 1000


@dataclass(frozen=True, slots=True)
class Lookup:
    """A reference by another unique column of the row that it refers to.

    column: of the imported resource, which gets the id.
    by: the column of the other table that is compared; key: makes what it is compared with.
    """

    column: str
    by: Column[Any]
    key: Callable[[str], str]


@dataclass(frozen=True, eq=False)
class Importable(Generic[Read]):
    """What an import of a resource follows from.

    create: the schema of a row.
    values: the values of columns from those of fields.
    derived: columns that are no fields, each with the field that it is made from.
    lookups: further columns of files, by their names.
    """

    resource: Resource[Read]
    create: type[BaseModel]
    values: Callable[[dict[str, Any]], dict[str, Any]]
    derived: Mapping[str, str]
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    @property
    def columns(self) -> Sequence[str]:
        """The columns that clients set, or that are made from these."""
        return (*self.create.model_fields, *self.derived)

    def field_of(self, column: str) -> str:
        return self.derived.get(column, column)


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are imported.

    on_conflict: what happens to rows that are there already.
    keeps_ids: new rows get the ids and instants of the file.
    skips_bad: bad rows are left out; else one of them keeps all from being written.
    max_faults: of the report.
    """

    on_conflict: OnConflict = "fail"
    keeps_ids: bool = False
    skips_bad: bool = False
    max_faults: int = MAX_FAULTS


@dataclass(slots=True)
class Report:
    """What an import did; `errors` are the first faults."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    errors: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class Upload:
    """A file that was checked: its good rows, as `write` takes them, and the first faults."""

    staged: IO[bytes]
    rows: int = 0
    rejected: int = 0
    faults: list[Fault] = field(default_factory=list)
