"""Turns an error into a response (RFC 9457), for routes, middleware and the protocol."""

import re
from typing import Annotated, Final, NotRequired, cast
from urllib.parse import quote

from pydantic import Field
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope
from typing_extensions import TypedDict

from app.errors import EmailTaken, Fault, ImportRejected, Problem

PROBLEM_JSON = "application/problem+json"
MAX_FAULTS: Final = 100
# Nothing in it needs to be quoted, which takes longer than to find out.
_PLAIN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_.-]+)+")


class ImportReport(TypedDict):
    """What an import did with the rows of a file."""

    rows: Annotated[int, Field(ge=0, examples=[4])]
    created: Annotated[int, Field(ge=0, examples=[2])]
    updated: Annotated[int, Field(ge=0, examples=[1])]
    skipped: Annotated[int, Field(ge=0, examples=[0])]
    rejected: Annotated[int, Field(ge=0, examples=[1])]
    errors: Annotated[list[Fault], Field(max_length=1000)]


class ProblemRead(TypedDict):
    """An error, as RFC 9457 describes it; `errors` lists the faults together, at most 100, or 1,000
    of a batch.
    """

    type: Annotated[str, Field(examples=["/problems/email-taken"])]
    title: Annotated[str, Field(examples=[EmailTaken.title])]
    status: Annotated[int, Field(ge=400, le=599, examples=[EmailTaken.status])]
    code: Annotated[str, Field(examples=[EmailTaken.code])]
    detail: Annotated[str, Field(examples=[EmailTaken.detail])]
    instance: Annotated[str, Field(examples=["/accounts"])]
    request_id: Annotated[str, Field(examples=["9f86d081884c7d65"])]
    errors: list[Fault]
    report: NotRequired[Annotated[ImportReport, Field(description="Of an import that is rejected")]]
    more_errors: NotRequired[
        Annotated[int, Field(ge=1, description="How many faults `errors` leaves out, if any")]
    ]


def as_uri(path: str) -> str:
    """A decoded path as a URI reference (RFC 3986, 4.2). Two slashes would begin a host."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    quoted = quote(path, safe="/:@!$&'()*+,;=", errors="replace")
    return f"/.{quoted}" if quoted.startswith("//") else quoted


def slug(code: str) -> str:
    return code.replace("_", "-")


def problem_response(problem: Problem, scope: Scope) -> Response:
    """The response to a request. `instance` omits the query, which may contain personal data.

    A route may set another number of faults, as `max_faults` of the request's state.
    """
    scope["state"]["problem"] = problem.code  # for the log and the metrics
    most = scope["state"].get("max_faults", MAX_FAULTS)
    body: ProblemRead = {
        "type": f"{as_uri(scope.get('root_path', ''))}/problems/{slug(problem.code)}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": str(problem),
        "instance": as_uri(scope["path"]),
        "request_id": scope["state"]["request_id"],
        "errors": problem.errors[:most],
    }
    if isinstance(problem, ImportRejected):
        body["report"] = cast(ImportReport, problem.report)
    if len(problem.errors) > most:
        body["more_errors"] = len(problem.errors) - most
    headers = {"Cache-Control": "private, no-cache", **problem.headers}
    return Response(to_json(body), problem.status, headers, PROBLEM_JSON)
