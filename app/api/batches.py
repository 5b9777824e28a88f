"""Validates the rows of a batch one by one, so that others have their turn between them."""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.api.faults import faults_of
from app.errors import Fault, FaultCode
from app.postgres.turns import Turns
from app.resources.batches import Batch

Key = Callable[[Any], Hashable]
_ID: Final[Mapping[str, Key]] = {"id": lambda value: str(value).lower()}


class _Rows(Batch[Any]):
    """A batch whose rows may be anything."""


async def validate_batch(
    schema: type[Batch[Any]], parsed: Any, system_fields: Collection[str]
) -> tuple[Batch[Any] | None, list[Fault]]:
    """The batch that a parsed body is, and all its faults; None if it has some.

    system_fields: those that the resource has and no client sets.
    """
    try:
        given = _Rows.model_validate(parsed).data
    except ValidationError as error:
        return None, _faults(error, system_fields)
    reader = _RowReader(schema, system_fields)
    rows, turns = [], Turns()
    for position, row in enumerate(given):
        await turns.give()
        rows.append(reader.read(position, row))
    return (None if reader.faults else schema.model_construct(data=rows)), reader.faults


class _RowReader:
    """Validates rows in their order, and compares each with those before it."""

    def __init__(self, schema: type[Batch[Any]], system_fields: Collection[str]) -> None:
        self._schema = schema.row()
        self._system_fields = system_fields
        by_id = _ID if "id" in self._schema.model_fields else {}
        self._unique: Mapping[str, Key] = {**by_id, **schema.unique}
        self._seen = {name: set[Hashable]() for name in self._unique}
        self._position = 0
        self.faults: list[Fault] = []

    def read(self, position: int, given: Any) -> BaseModel | None:
        """The row; None if its fields have faults."""
        self._position = position
        try:
            row = self._schema.model_validate(given)
        except ValidationError as error:
            faults = _faults(error, self._system_fields, "data", self._position)
            self.faults += faults
            pointers = {fault["pointer"] for fault in faults}
            if isinstance(given, dict):
                self._compare(
                    {name: value for name, value in given.items() if self._at(name) not in pointers}
                )
            return None
        self._compare({name: getattr(row, name) for name in row.model_fields_set})
        return row

    def _compare(self, values: Mapping[str, Any]) -> None:
        for name, seen in self._seen.items():
            if name not in values:
                continue
            key = self._unique[name](values[name])
            if key in seen:
                code: FaultCode = "duplicate" if name == "id" else "not_unique"
                detail = "An earlier row has the same."
                self.faults.append(Fault(pointer=self._at(name), code=code, detail=detail))
            seen.add(key)

    def _at(self, name: str) -> str:
        return f"/data/{self._position}/{name}"


def _faults(
    error: ValidationError, system_fields: Collection[str], *place: str | int
) -> list[Fault]:
    found = error.errors(include_url=False)
    located = ({**each, "loc": ("body", *place, *each["loc"])} for each in found)
    return faults_of(located, known=(), system_fields=system_fields)
