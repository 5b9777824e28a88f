"""The headers and problems of each operation, derived from its body, query and dependencies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.dependencies.models import Dependant

from app.api.arguments import batch_of
from app.api.conditions import (
    get_absence,
    get_precondition,
    get_read_condition,
    get_versions_required,
)
from app.api.exports import get_accepted_format
from app.api.idempotency import get_attempt
from app.api.imports.uploads import Uploads
from app.api.openapi.problems import TITLES, problems
from app.api.requests import MERGE_PATCH
from app.api.routes import StrictRoute
from app.errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    Forbidden,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InternalError,
    InvalidCursor,
    InvalidRequest,
    MalformedBody,
    MalformedHeader,
    Overloaded,
    PreconditionRequired,
    Problem,
    RateLimited,
    StaleVersion,
    Unauthenticated,
    UnsupportedMediaType,
)
from app.problems import PROBLEM_JSON
from app.resources.imports import Importable

Operation = dict[str, Any]
Responses = dict[str, Any]  # by status, or by name


@dataclass(frozen=True, slots=True)
class Effect:
    """What one kind of input adds to the description of an operation."""

    parameters: tuple[str, ...] = ()  # request headers
    problems: tuple[type[Problem], ...] = ()
    headers: dict[str, list[str]] = field(default_factory=dict)  # of the responses, by status


_RATE: Final = ["RateLimit-Policy", "RateLimit"]
_ALWAYS: Final = Effect(
    problems=(
        Unauthenticated,
        Forbidden,
        RateLimited,
        InvalidRequest,
        InternalError,
        DatabaseUnavailable,
        Overloaded,
    ),
    headers={
        **dict.fromkeys(("200", "201", "204"), _RATE),
        "429": [*_RATE, "Retry-After"],
        "401": ["WWW-Authenticate"],
        "403": ["WWW-Authenticate"],
        "503": ["Retry-After"],
    },
)
_BODY: Final = Effect(
    problems=(MalformedBody, BodyTooLarge, UnsupportedMediaType),
    headers={"415": ["Accept-Encoding"]},
)
_MERGE_PATCH: Final = Effect(headers={"415": ["Accept-Patch"]})
_CURSOR: Final = Effect(problems=(InvalidCursor,), headers={"200": ["Link"]})
_DEPENDENCIES: Final[dict[Callable[..., Any], Effect]] = {
    get_precondition: Effect(
        ("If-Match", "If-None-Match"),
        (MalformedHeader, StaleVersion, PreconditionRequired),
        {"200": ["ETag"], "412": ["ETag"]},
    ),
    get_read_condition: Effect(
        ("If-Match", "If-None-Match"),
        (MalformedHeader, StaleVersion),
        {status: ["ETag"] for status in ("200", "304", "412")},
    ),
    get_accepted_format: Effect(headers={"200": ["Content-Disposition", "Content-Encoding"]}),
    get_absence: Effect(("If-None-Match",), (MalformedHeader, StaleVersion)),
    get_versions_required: Effect(problems=(StaleVersion, PreconditionRequired)),
    get_attempt: Effect(
        ("Idempotency-Key",),
        (MalformedHeader, IdempotencyInFlight, IdempotencyKeyReused),
        {
            **{status: ["Idempotency-Replayed"] for status in ("200", "201", "204")},
            "409": ["Retry-After"],
        },
    ),
}
_CREATION: Final = Effect(headers={"201": ["ETag", "Location"]})


def complete_operation(operation: Operation, route: StrictRoute, shared: Responses) -> None:
    """Add the headers that an operation takes, its problems, and the headers of its responses.

    Problem responses are put into `shared`, the responses that operations refer to by name.
    """
    effects = list(_effects(operation, route))
    taken = [name for effect in effects for name in effect.parameters]
    if taken:
        operation.setdefault("parameters", []).extend(
            {"$ref": f"#/components/parameters/{name}"} for name in taken
        )
    responses = operation["responses"]
    if any("304" in effect.headers for effect in effects):
        responses["304"] = {"description": "The client has the current version"}
    names = _add_problems(responses, [cls for effect in effects for cls in effect.problems])
    for status, response in responses.items():
        headers = [name for effect in effects for name in effect.headers.get(status, ())]
        response["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in ["X-Request-ID", *headers]
        }
    for status, name in names.items():
        # Responses with the same problems have the same headers, but for these two.
        headers = responses[status]["headers"]
        key = f"{name}OfPatch" if "Accept-Patch" in headers else name
        if status == "412" and "ETag" not in headers:
            key = f"{name}OfLink"
        assert shared.setdefault(key, responses[status]) == responses[status], key
        responses[status] = {"$ref": f"#/components/responses/{key}"}
    if "validate_only" in _names(operation):
        _add_validation(responses)
    operation["responses"] = dict(sorted(responses.items()))


def _effects(operation: Operation, route: StrictRoute) -> Iterator[Effect]:
    yield _ALWAYS
    if route.media_types:
        yield _BODY
    if MERGE_PATCH in route.media_types:
        yield _MERGE_PATCH
    if "cursor" in _names(operation):
        yield _CURSOR
    calls = set(_calls(route.dependant))
    if importable_of(route) is not None:
        yield _BODY
    for call, effect in _DEPENDENCIES.items():
        if call in calls:
            yield effect
    has_one_row = route.body_field is not None and batch_of(route.body_field) is None
    if get_attempt in calls and has_one_row:
        yield _CREATION


def importable_of(route: StrictRoute) -> Importable[Any] | None:
    """What the rows of the route's body are; None: its body is not a file of rows."""
    uploads = (call for call in _calls(route.dependant) if isinstance(call, Uploads))
    return next((call.importable for call in uploads), None)


def _names(operation: Operation) -> set[str]:
    """The names of the parameters in path and query."""
    return {one["name"] for one in operation.get("parameters", ()) if "name" in one}


def _add_validation(responses: Responses) -> None:
    """What `validate_only` is answered with: 200 beside 201, and no ETag."""
    if "201" in responses:
        made = responses["201"]
        left_out = {"ETag", "Location", "Idempotency-Replayed"}
        responses["200"] = {
            "description": "What the response would be, if `validate_only` is true",
            "content": made["content"],
            "headers": {
                name: header for name, header in made["headers"].items() if name not in left_out
            },
        }
    elif "ETag" in responses.get("200", {}).get("headers", ()):
        responses["200"]["headers"]["ETag"] = {"$ref": "#/components/headers/ETagIfStored"}


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def _add_problems(responses: Responses, classes: list[type[Problem]]) -> dict[str, str]:
    """Put these problems beside the route's own, and name the response of each status by them.

    FastAPI's own 422 is replaced.
    """
    titles = {str(status): response[TITLES] for status, response in problems(*classes).items()}
    for status, response in responses.items():
        if TITLES in response:
            titles[status] = titles.get(status, {}) | response[TITLES]
    for status, of in titles.items():
        responses[status] = {
            "description": "; ".join(sorted(f"{title} (`{code}`)" for code, title in of.items())),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return {
        status: "Or".join(code.title().replace("_", "") for code in sorted(of))
        for status, of in titles.items()
    }
