"""The problems that operations declare in the OpenAPI document."""

from typing import Any

from app.errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    Forbidden,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InternalError,
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

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client has the current version already"}
}
# The problems that operations of a kind may answer with, besides their own.
READING = (
    Unauthenticated,
    Forbidden,
    RateLimited,
    InvalidRequest,
    InternalError,
    DatabaseUnavailable,
    Overloaded,
)
PUTTING = (*READING, MalformedBody, BodyTooLarge, UnsupportedMediaType)
CREATING = (*PUTTING, MalformedHeader, IdempotencyInFlight, IdempotencyKeyReused)
WRITING = (*PUTTING, MalformedHeader, StaleVersion, PreconditionRequired)
DELETING = (*READING, MalformedHeader, StaleVersion, PreconditionRequired)


def problems(*classes: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may answer with these problems."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({cls.status for cls in classes}):
        titles = sorted({f"{cls.title} (`{cls.code}`)" for cls in classes if cls.status == status})
        responses[status] = {
            "description": "; ".join(titles),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses
