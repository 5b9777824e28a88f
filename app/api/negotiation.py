"""What a client asks for with Accept and Accept-Encoding (RFC 9110, 12.5)."""

import re
from typing import Final

_WEIGHT: Final = re.compile(r";q=([01](?:\.[0-9]*)?)(?:;|$)")


def weights_of(field: str) -> dict[str, float]:
    """The weight of each element of such a header, in lower case; 1 where none is well-formed."""
    weights = {}
    for element in field.lower().split(","):
        name, _, parameters = re.sub(r"[ \t]", "", element).partition(";")
        found = _WEIGHT.search(f";{parameters}")
        weights[name] = float(found[1]) if found else 1.0
    return weights


def accepts_gzip(field: str) -> bool:
    """Whether an Accept-Encoding field allows gzip."""
    weights = weights_of(field)
    return weights.get("gzip", weights.get("*", 0)) > 0
