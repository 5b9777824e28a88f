"""Checks the rows of a file as a POST checks its body, and stages those that are good."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from uuid_utils import uuid7

from app.api.bodies.values import TWICE
from app.api.faults import faults_of
from app.api.imports.records import BadRow, Form, Source
from app.errors import Fault
from app.resources.fields import Id
from app.resources.imports import Importable
from app.resources.times import InstantIn

SYSTEM_FIELDS: Final = ("id", "created", "updated", "version")
_KEPT: Final[Mapping[str, TypeAdapter[Any]]] = {
    "id": TypeAdapter(Id),
    "created": TypeAdapter(InstantIn),
    "updated": TypeAdapter(InstantIn),
}
# Stands for a reference that is looked up later, while the row is checked.
_PLACEHOLDER: Final = str(UUID(int=0))
# What COPY's text format escapes.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL: Final = "\\N"


def columns_of(importable: Importable[Any]) -> Sequence[str]:
    """The columns that a file may have."""
    return (*importable.create.model_fields, *SYSTEM_FIELDS, *importable.lookups)


def required_of(importable: Importable[Any]) -> list[list[str]]:
    """The columns that a CSV file must have; one of each list."""
    return [
        [name, *(other for other, each in importable.lookups.items() if each.column == name)]
        for name, field in importable.create.model_fields.items()
        if field.is_required()
    ]


class RowChecker:
    """Checks rows one after the other."""

    def __init__(self, importable: Importable[Any], form: Form, *, keeps_ids: bool) -> None:
        self._importable = importable
        self._form = form
        self._kept = {name: _KEPT[name] for name in _KEPT if keeps_ids or name == "id"}
        self._validate: Callable[[Any], Any] = TypeAdapter(importable.create).validate_python
        self._bits = {name: 1 << n for n, name in enumerate(importable.create.model_fields)}

    def check(self, number: int, source: Source) -> bytes | list[Fault]:
        """The line of a row in the staging table, or the faults of a bad row."""
        try:
            fields = self._form.fields(source)
        except BadRow as error:
            return [Fault(row=number, **error.fault)]
        errors: list[Any] = []
        kept = self._system_values(fields, errors)
        keys = self._look_up(fields, errors)
        bits = 0
        for name in fields:
            bits |= self._bits.get(name, 0)
        try:
            body = self._validate(fields)
        except ValidationError as error:
            errors += error.errors(include_url=False)
        if errors:
            placed = [{**each, "loc": ("body", *each["loc"])} for each in errors]
            return [Fault(row=number, **fault) for fault in faults_of(placed, known=())]
        values = self._importable.values(dict(body.__dict__))
        values |= {self._importable.lookups[name].column: None for name in keys}
        staged = (
            *(number, kept.get("id"), uuid7(), kept.get("created"), kept.get("updated"), bits),
            *(values[name] for name in self._importable.columns),
            *(keys.get(name) for name in self._importable.lookups),
        )
        return ("\t".join(map(_copy_text, staged)) + "\n").encode()

    def _system_values(self, fields: dict[str, Any], errors: list[Any]) -> dict[str, Any]:
        """Take the system's fields out; those that are kept come back."""
        kept: dict[str, Any] = {}
        for name in SYSTEM_FIELDS:
            value = fields.pop(name, None)
            if value is None or name not in self._kept:
                continue
            try:
                kept[name] = self._kept[name].validate_python(value)
            except ValidationError as error:
                errors += [
                    {**each, "loc": (name, *each["loc"])}
                    for each in error.errors(include_url=False)
                ]
        return kept

    def _look_up(self, fields: dict[str, Any], errors: list[Any]) -> dict[str, str]:
        """Take the values of lookups out, as they are compared."""
        keys: dict[str, str] = {}
        for name, lookup in self._importable.lookups.items():
            value = fields.pop(name, None)
            if value is None:
                continue
            if fields.get(lookup.column) is not None:
                fields[lookup.column] = TWICE
                continue
            fields[lookup.column] = _PLACEHOLDER
            if isinstance(value, str):
                keys[name] = lookup.key(value)
            else:
                errors.append({"type": "string_type", "loc": (name,), "input": value})
        return keys


def _copy_text(value: Any) -> str:
    if value is None:
        return _NULL
    shown = str(value)
    # Faster than to translate, which most text does not need.
    is_plain = shown.isprintable() and "\\" not in shown
    return shown if is_plain else shown.translate(_ESCAPES)
