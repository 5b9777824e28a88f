"""Error handlers: every error of the application, the framework's included, becomes a problem."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException

from app.api.faults import faults_of
from app.api.problem_pages import explain_problem
from app.api.requests import PATCH_TYPES
from app.errors import InvalidRequest, MalformedBody, MethodNotAllowed, NotFound, Problem
from app.postgres.failures import FAILURES, problem_of
from app.problems import problem_response


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem, and explain each type on a page."""
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
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
        methods = allowed_methods(request.app, get_route_path(request.scope))
        allow = {"Allow": ", ".join(methods)}
        if request.method == "OPTIONS":
            if "PATCH" in methods:
                allow["Accept-Patch"] = ", ".join(PATCH_TYPES)
            return Response(status_code=204, headers=allow)
        return problem_response(MethodNotAllowed(headers=allow), request.scope)
    if error.status_code == 404:
        return problem_response(NotFound(), request.scope)
    if error.status_code == 400:
        return problem_response(MalformedBody(), request.scope)
    raise error


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    """Of a route whose request FastAPI itself validates."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem_response(MalformedBody(), request.scope)
    return problem_response(InvalidRequest(errors=faults_of(found, known=[])), request.scope)


async def _answer_database_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem_response(problem, request.scope)


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """All methods of a path; each of its routes may have one of them."""
    methods: set[str] = set()
    for route in iter_route_contexts(app.routes):
        if route.path_regex.match(path):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods | {"OPTIONS"})
