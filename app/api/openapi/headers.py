"""The headers of requests and responses, as components of the OpenAPI document."""

from typing import Any, Final

from app.api.conditions import ENTITY_TAGS

Declared = dict[str, Any]

_ENTITY_TAGS: Final = {
    "type": "string",
    "pattern": rf"^(\*|{ENTITY_TAGS})$",
    "examples": ['"3"', '"3", "4"', "*"],
}

PARAMETERS: Final[tuple[Declared, ...]] = (
    {
        "name": "If-Match",
        "in": "header",
        "description": "Read or write only if the current ETag of the resource is one of these, "
        "otherwise answer 412. The ETag is the `version` in the body, in quotes. `*` stands for "
        "any",
        "schema": _ENTITY_TAGS,
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "If the current ETag of the resource is one of these, answer 304 to a read "
        "and 412 to a write. `*` stands for any; it also matches a link, which has no ETag",
        "schema": _ENTITY_TAGS,
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A key for this request, chosen by the client. A request repeated with its "
        "key within 24 hours takes effect once and gets the same response",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            # Printable ASCII. HTTP strips spaces at the ends.
            "pattern": "^[!-~]([ -~]*[!-~])?$",
            "examples": ["order-2026-11-23-0017"],
        },
    },
)

HEADERS: Final[dict[str, Declared]] = {
    "X-Request-ID": {
        "description": "The id of the request in the logs; the client's own if it sent a valid one",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "9f86d081884c7d65",
    },
    "ETag": {
        "description": "The `version` of the resource in quotes, for If-Match and If-None-Match",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": '"3"',
    },
    "ETagIfStored": {
        "description": "The `version` of the resource in quotes; absent if `validate_only` is true",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": '"3"',
    },
    "Location": {
        "description": "The path of the new resource",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/accounts/01890a5d-ac96-774b-bcce-b302099a8057",
    },
    "Link": {
        "description": 'The URL of the next page (rel="next", RFC 8288); absent on the last page',
        "schema": {"type": "string"},
        "example": '</accounts?limit=50&cursor=b3BhcXVl>; rel="next"',
    },
    "Idempotency-Replayed": {
        "description": "Present if the response is that of an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Content-Disposition": {
        "description": "That the body is a file, and the name of it",
        "required": True,
        "schema": {"type": "string"},
        "example": 'attachment; filename="accounts.csv"',
    },
    "Content-Encoding": {
        "description": "Present if the body is compressed, as Accept-Encoding allows",
        "schema": {"type": "string", "enum": ["gzip"]},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try",
        "schema": {"type": "integer", "minimum": 0},
        "example": 2,
    },
    "RateLimit-Policy": {
        "description": "The rate limit, if there is one: requests (q) per window of seconds (w)",
        "schema": {"type": "string"},
        "example": '"default";q=100;w=60',
    },
    "RateLimit": {
        "description": "The requests (r) left for the next seconds (t), if there is a rate limit",
        "schema": {"type": "string"},
        "example": '"default";r=42;t=17',
    },
    "WWW-Authenticate": {
        "description": "The fault of the credentials, in the form of RFC 6750",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer error="insufficient_scope", scope="write"',
    },
    "Accept-Encoding": {
        "description": "Present if the body has a Content-Encoding: none is accepted",
        "schema": {"type": "string", "enum": ["identity"]},
    },
    "Accept-Patch": {
        "description": "The media types that PATCH accepts",
        "required": True,
        "schema": {"type": "string"},
        "example": "application/merge-patch+json, application/json",
    },
}


def components() -> dict[str, Declared]:
    """The parameters and headers that operations refer to."""
    return {
        "parameters": {one["name"]: one for one in PARAMETERS},
        "headers": HEADERS,
    }
