"""Assertions that hold for every response, and for every problem."""

import re
from typing import Any

import httpx

PROBLEM_FIELDS = ["type", "title", "status", "code", "detail", "instance", "request_id", "errors"]


def places(answer: httpx.Response) -> dict[str, str]:
    """The codes of a problem's faults by `/pointer`, `?parameter` or `header:`, those of a file by
    `row 1/pointer`.
    """
    found: dict[str, str] = {}
    for each in answer.json()["errors"]:
        fault = without(each, "row")
        place, code, detail = fault
        name = f"row {each['row']}{fault[place]}" if "row" in each else fault[place]
        assert (code, detail) == ("code", "detail")
        assert fault["detail"].endswith("."), fault
        shown = {"pointer": name, "parameter": f"?{name}", "header": f"{name}:"}[place]
        assert shown not in found, f"{shown} is named twice"
        found[shown] = fault["code"]
    return found


def assert_headers(answer: httpx.Response) -> None:
    """The response has the headers of every response."""
    (request_id,) = answer.headers.get_list("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", request_id)
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


def assert_problem(
    answer: httpx.Response, status: int, code: str, faults: dict[str, str] | None = None
) -> dict[str, Any]:
    """The response is this problem, with exactly these faults if they are given."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert_headers(answer)
    problem: dict[str, Any] = answer.json()
    optional = {"report"} if code == "import_rejected" else set()
    assert [*without(problem, "more_errors", *optional)] == PROBLEM_FIELDS
    assert optional <= problem.keys()
    most = 1000 if re.search(":(batch|import)", problem["instance"]) else 100
    assert len(problem["errors"]) <= most
    if "more_errors" in problem:
        assert (len(problem["errors"]), problem["more_errors"] > 0) == (most, True)
    assert problem["status"] == status
    assert problem["code"] == code, problem
    prefix, slash, slug = problem["type"].rpartition("/problems/")
    assert (slash, slug) == ("/problems/", code.replace("_", "-"))
    # Empty: the server did not understand the target.
    assert problem["instance"].startswith(prefix) or not problem["instance"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    found = places(answer)
    if faults is not None:
        assert found == faults
    return problem


def faults(answer: httpx.Response) -> dict[str, str]:
    """The codes of the faults of an invalid request by `/pointer` or parameter."""
    assert_problem(answer, 422, "invalid_request")
    return {place.removeprefix("?"): code for place, code in places(answer).items()}


def code_of(answer: httpx.Response, status: int) -> str:
    """The code of a problem with this status."""
    code: str = answer.json()["code"]
    assert_problem(answer, status, code)
    return code


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """The other fields."""
    return {name: value for name, value in row.items() if name not in names}
