"""The headers of the OpenAPI document: what each is, and which operation takes or gives it.

An operation's headers follow from what its handler depends on, so that no handler repeats them.
"""

from collections.abc import Callable
from typing import Any, Final

from app.api.conditions import ENTITY_TAGS, get_known_versions, get_precondition
from app.api.idempotency import get_keyed_statements
from app.api.routes import MERGE_PATCH, StrictRoute

Declared = dict[str, Any]
Dependency = Callable[..., Any]

_ENTITY_TAGS: Final = {
    "type": "string",
    "pattern": rf"^(\*|{ENTITY_TAGS})$",
    "examples": ['"3"', '"3", "4"', "*"],
}

PARAMETERS: Final[dict[Dependency, Declared]] = {
    get_precondition: {
        "name": "If-Match",
        "in": "header",
        "description": "Write only if the resource still has one of these ETags, as GET gave them; "
        "`*`: any. Otherwise 412",
        "schema": _ENTITY_TAGS,
    },
    get_known_versions: {
        "name": "If-None-Match",
        "in": "header",
        "description": "Answer 304 if the resource still has one of these ETags",
        "schema": _ENTITY_TAGS,
    },
    get_keyed_statements: {
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
}

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

# The headers of answers, by status: of all operations, and of those that depend on something.
_RATE: Final = ["RateLimit-Policy", "RateLimit"]
_OF_ALL: Final = {
    **dict.fromkeys(("200", "201", "204"), _RATE),
    "429": [*_RATE, "Retry-After"],
    "401": ["WWW-Authenticate"],
    "403": ["WWW-Authenticate"],
    "503": ["Retry-After"],
}
_OF_LISTS: Final = {"200": ["Link"]}
_OF_PATCHES: Final = {"415": ["Accept-Patch"]}
_BY_DEPENDENCY: Final[dict[Dependency, dict[str, list[str]]]] = {
    get_precondition: {"200": ["ETag"], "412": ["ETag"]},
    get_known_versions: {"200": ["ETag"], "304": ["ETag"]},
    get_keyed_statements: {
        "201": ["ETag", "Location", "Idempotency-Replayed"],
        "409": ["Retry-After"],
    },
}


def components() -> dict[str, Declared]:
    """The sections of `components` that operations refer to."""
    return {
        "parameters": {one["name"]: one for one in PARAMETERS.values()},
        "headers": HEADERS,
    }


def add_headers(operation: Declared, route: StrictRoute) -> None:
    """Declare the headers that an operation takes, and those of each of its answers."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    taken = [parameter for call, parameter in PARAMETERS.items() if call in calls]
    if taken:
        operation.setdefault("parameters", []).extend(
            {"$ref": f"#/components/parameters/{one['name']}"} for one in taken
        )
    given = [_OF_ALL, *(rules for call, rules in _BY_DEPENDENCY.items() if call in calls)]
    if MERGE_PATCH in route.media_types:
        given.append(_OF_PATCHES)
    if any(parameter.get("name") == "cursor" for parameter in operation.get("parameters", ())):
        given.append(_OF_LISTS)
    for status, response in operation["responses"].items():
        names = [name for rules in given for name in rules.get(status, ())]
        response["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in ["X-Request-ID", *names]
        }
