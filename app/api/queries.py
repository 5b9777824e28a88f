"""Reads queries strictly: what is unknown, repeated or no text is a fault."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from app.api.bodies.values import is_text
from app.api.faults import shown_name
from app.errors import Fault

MAX_PARAMETERS: Final = 300


def bracketed(names: Iterable[str]) -> re.Pattern[bytes]:
    """Matches these names with brackets, as in `country[]=JO`."""
    alternatives = "|".join(map(re.escape, names)).encode()
    return re.compile(rb"(?<![^&])(%b)(?:\[|%%5[Bb])(?:\]|%%5[Dd])(?![^=&])" % alternatives)


def parse_query(query: bytes, parameters: Mapping[str, bool]) -> tuple[dict[str, Any], list[Fault]]:
    """The values by name, a list where a parameter may be repeated, and the faults.

    parameters: the names that are taken, each with whether it may be repeated.
    """
    values: dict[str, Any] = {}
    if not query:
        return values, []
    faults: dict[str, Fault] = {}
    # What is beyond the limit is not read.
    parts = query.decode("latin-1").split("&", MAX_PARAMETERS)
    pairs = parse_qsl(
        "&".join(parts[:MAX_PARAMETERS]), keep_blank_values=True, errors="surrogateescape"
    )
    for name, value in pairs:
        if name not in parameters:
            shown = shown_name(name)
            faults[shown] = Fault(parameter=shown, code="unknown", detail="No such parameter.")
        elif name in values and not parameters[name]:
            detail = "Given more than once."
            faults[name] = Fault(parameter=name, code="duplicate", detail=detail)
        elif not is_text(value):
            detail = "Holds a NUL or is not UTF-8."
            faults[name] = Fault(parameter=name, code="invalid_format", detail=detail)
        if parameters.get(name):
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    if len(parts) > MAX_PARAMETERS:
        beyond = shown_name(unquote_plus(re.split("[=&]", parts[-1], maxsplit=1)[0]))
        detail = "The query has more than 300 parameters."
        faults = {beyond: Fault(parameter=beyond, code="too_long", detail=detail)} | {
            name: fault for name, fault in faults.items() if name != beyond
        }
    return values, list(faults.values())
