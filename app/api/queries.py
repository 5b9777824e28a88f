"""Reads queries strictly: what is unknown, repeated or no text is a fault."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from app.api import bodies
from app.errors import Fault


def parse_query(query: bytes, parameters: Mapping[str, bool]) -> tuple[dict[str, Any], list[Fault]]:
    """The values by name, a list where a parameter may be repeated, and the faults.

    parameters: the names that are taken, each with whether it may be repeated.
    """
    values: dict[str, Any] = {}
    if not query:
        return values, []
    faults: dict[str, Fault] = {}
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    for name, value in pairs:
        if name not in parameters:
            shown = bodies.safe_name(name)
            faults[shown] = Fault(parameter=shown, code="unknown", detail="No such parameter.")
        elif name in values and not parameters[name]:
            detail = "Given more than once."
            faults[name] = Fault(parameter=name, code="duplicate", detail=detail)
        elif not bodies.is_text(value):
            detail = "Holds a NUL or is not UTF-8."
            faults[name] = Fault(parameter=name, code="invalid_format", detail=detail)
        if parameters.get(name):
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values, list(faults.values())
