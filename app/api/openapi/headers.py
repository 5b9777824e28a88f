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
        "description": "Write only if the resource still has one of these ETags, as GET gave them; "
        "`*`: any. Otherwise 412",
        "schema": _ENTITY_TAGS,
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "Answer 304 if the resource still has one of these ETags",
        "schema": _ENTITY_TAGS,
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A name for this request, chosen by the client: repeated within 24 hours it "
        "gets the same answer and has no effect of its own",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            # Printable ASCII; HTTP drops spaces at the ends.
            "pattern": "^[!-~]([ -~]*[!-~])?$",
            "examples": ["order-2026-11-23-0017"],
        },
    },
)

HEADERS: Final[dict[str, Declared]] = {
    "X-Request-ID": {
        "description": "Finds the request in the logs; the client's own, if it sent a usable one",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "9f86d081884c7d65",
    },
    "ETag": {
        "description": "The version of the resource, for If-Match and If-None-Match",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": '"3"',
    },
    "Location": {
        "description": "The path of what was created",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/accounts/01890a5d-ac96-774b-bcce-b302099a8057",
    },
    "Link": {
        "description": 'The address of the next page (rel="next", RFC 8288), unless this is the '
        "last one",
        "schema": {"type": "string"},
        "example": '</accounts?limit=50&cursor=b3BhcXVl>; rel="next"',
    },
    "Idempotency-Replayed": {
        "description": "Given where an earlier request with this key was answered so",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds after which to try again",
        "schema": {"type": "integer", "minimum": 0},
        "example": 2,
    },
    "RateLimit-Policy": {
        "description": "Where there is a rate limit: how many requests (q) in how many seconds (w)",
        "schema": {"type": "string"},
        "example": '"default";q=100;w=60',
    },
    "RateLimit": {
        "description": "Where there is a rate limit: how many requests are left (r) for how many "
        "seconds (t)",
        "schema": {"type": "string"},
        "example": '"default";r=42;t=17',
    },
    "WWW-Authenticate": {
        "description": "What is wrong with the credentials, as RFC 6750 says it",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer error="insufficient_scope", scope="write"',
    },
    "Accept-Patch": {
        "description": "The media types that PATCH takes",
        "required": True,
        "schema": {"type": "string"},
        "example": "application/merge-patch+json, application/json",
    },
}


def components() -> dict[str, Declared]:
    """The sections of `components` that operations refer to."""
    return {
        "parameters": {one["name"]: one for one in PARAMETERS},
        "headers": HEADERS,
    }
