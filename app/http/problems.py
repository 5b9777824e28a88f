"""Problem responses (RFC 9457): one shape for every error, the framework's own included."""

import base64
import hashlib
import html
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from pydantic import Field
from pydantic_core import to_json
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.types import Scope
from typing_extensions import TypedDict

from app.database.failures import FAILURES, problem_of
from app.errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    EmailTaken,
    Fault,
    Forbidden,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    MalformedBody,
    MalformedHeader,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PreconditionRequired,
    Problem,
    RateLimited,
    StaleVersion,
    Unauthenticated,
    UnsupportedMediaType,
    problem_types,
)

PROBLEM_JSON = "application/problem+json"


class ProblemRead(TypedDict):
    """An error, as RFC 9457 describes it; `errors` lists all faults together."""

    type: Annotated[str, Field(examples=["/problems/email-taken"])]
    title: Annotated[str, Field(examples=[EmailTaken.title])]
    status: Annotated[int, Field(ge=400, le=599, examples=[EmailTaken.status])]
    code: Annotated[str, Field(examples=[EmailTaken.code])]
    detail: Annotated[str, Field(examples=[EmailTaken.detail])]
    instance: Annotated[str, Field(examples=["/accounts"])]
    request_id: Annotated[str, Field(examples=["9f86d081884c7d65"])]
    errors: list[Fault]


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


def slug(code: str) -> str:
    return code.replace("_", "-")


def problem_response(problem: Problem, scope: Scope) -> Response:
    """The answer to a request. Its query is left out of `instance`: it may hold personal data."""
    scope["state"]["problem"] = problem.code  # for the log and the metrics
    body: ProblemRead = {
        "type": f"/problems/{slug(problem.code)}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": str(problem),
        "instance": scope["path"].encode("utf-8", "replace").decode(),
        "request_id": scope["state"]["request_id"],
        "errors": problem.errors,
    }
    headers = {"Cache-Control": "private, no-cache", **problem.headers}
    return Response(to_json(body), problem.status, headers, PROBLEM_JSON)


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


def add_problems(app: FastAPI) -> None:
    """Answer every error of the application with a problem, and explain each type on a page."""
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    for failure in FAILURES:
        app.add_exception_handler(failure, _answer_database_error)
    app.add_api_route("/problems/{slug}", explain_problem, include_in_schema=False)


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request.scope)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI raise by themselves: no route, another method, a broken body."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = {"Allow": ", ".join(allowed_methods(request.app, get_route_path(request.scope)))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        return problem_response(MethodNotAllowed(headers=allow), request.scope)
    if error.status_code == 404:
        return problem_response(NotFound(), request.scope)
    if error.status_code == 400:
        return problem_response(MalformedBody(), request.scope)
    raise error


async def _answer_database_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem_response(problem, request.scope)


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """All methods of a path; routers of their own may each know one of them."""
    methods: set[str] = set()
    for route in iter_route_contexts(app.routes):
        if route.path_regex.match(path):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods | {"OPTIONS"})


_STYLE = (
    "body{font:1rem/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}code{font-size:.95em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8ab4ff}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "public, max-age=3600",
}
_TYPES = {slug(code): cls for code, cls in problem_types().items()}


async def explain_problem(slug: str) -> Response:
    """A small page for people about one problem type."""
    problem = _TYPES.get(slug)
    if problem is None:
        raise NotFound
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(problem.title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(problem.title)}</h1>"
        f"<p>Status <code>{problem.status}</code>, code <code>{problem.code}</code></p>"
        f"<p>{html.escape(problem.detail)}</p><p>{html.escape(problem.explanation)}</p></html>"
    )
    return HTMLResponse(page, headers=_PAGE_HEADERS)
