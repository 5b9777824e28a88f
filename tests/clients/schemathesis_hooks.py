"""What schemathesis cannot know of the API: how to ask for what is there, and which answers to
well-formed requests no schema can foretell.

Runs in its process, in a folder with the ids that the test made.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import httpx2
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

from app.api.routes import FORM, MULTIPART
from app.resources.fields import EXAMPLE_ID

# Problems that the present state decides, and why a well-formed request may meet them.
BY_STATE: Final = {
    "stale_version": "If-Match, or the version in the body, is not the current one",
    "idempotency_key_reused": "the key came with another body before",
    "account_not_found": "the body refers to an account that is not there",
    "item_not_found": "the body refers to an item that is not there",
}
# Faults that need knowledge which a schema does not have.
BY_KNOWLEDGE: Final = {
    ("/email", "invalid_format"): "which domains are reserved, which scripts mix",
    ("/dob", "too_small"): "a format has no minimum",
    ("/dob", "too_large"): "a schema does not know what day it is",
    ("/country", "invalid_format"): "which countries there are",
    ("country", "invalid_format"): "which countries there are",
    ("/phone_number", "invalid_format"): "each country's numbers, and which country is meant",
}


def _ids(name: str) -> list[str]:
    return [json.loads(line) for line in Path(f"{name}.txt").read_text().splitlines()]


SEEDED: Final = {"account_id": _ids("accounts")[0], "item_id": _ids("items")[0]}
DOOMED: Final = {
    "/accounts/{account_id}": iter(_ids("doomed_accounts")),
    "/items/{item_id}": iter(_ids("doomed_items")),
}
UUID: Final = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
KEY: Final = re.compile("[!-~]{1,255}")
CURSOR: Final = re.compile("[!-~]{1,2000}")
EMAIL: Final = re.compile(r"\w+@example\.com")
EXAMPLE_TAG: Final = '"3"'
_numbers: Final = itertools.count()

# It would send, as well-formed, headers of letters and digits only: these values are better.
_TAG = st.builds('{}"{}"'.format, st.sampled_from(["", "W/"]), st.text("!#123~\xff", max_size=9))
schemathesis.openapi.format(
    "entity-tags",
    st.sampled_from([EXAMPLE_TAG, "*"]) | st.lists(_TAG, min_size=1).map(", ".join),
)


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    for name in ("If-Match", "If-None-Match"):
        raw_schema["components"]["parameters"][name]["schema"]["format"] = "entity-tags"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Let a request be one of a client that knows what is there. Else a well-formed one would get
    no further than an id, a version or a cursor made by chance, and one with a flaw would be
    refused for these instead. Only values that are well-formed themselves are replaced.
    """
    if case.meta is None:
        return
    by_one_value = case.meta.phase.name is TestPhase.COVERAGE  # it varies one, others must be good
    for name, value in case.path_parameters.items():
        if UUID.fullmatch(str(value)):
            if case.method == "DELETE" and case.path in DOOMED:  # and leave what others need
                case.path_parameters[name] = next(DOOMED[case.path], value)
            elif by_one_value:
                case.path_parameters[name] = SEEDED[name]
    key = case.headers.get("Idempotency-Key", "")
    if KEY.fullmatch(key) and (by_one_value or case.meta.generation.mode.is_negative):
        case.headers["Idempotency-Key"] = f"{key[:200]}{next(_numbers)}"
    if isinstance(case.body, dict):
        _fill_in(case.body, case.path_parameters)
    if EXAMPLE_TAG in case.headers.get("If-Match", ""):
        _know_the_version(case)
    if CURSOR.fullmatch(str(case.query.get("cursor", ""))):
        _go_on(case)


def _fill_in(body: dict[str, Any], path: dict[str, Any]) -> None:
    """What examples cannot name, and the id that must be the path's."""
    for field in SEEDED.keys() & body.keys():
        if body[field] == EXAMPLE_ID:
            body[field] = SEEDED[field]
    if EMAIL.fullmatch(str(body.get("email"))):
        body["email"] = f"ada{next(_numbers)}@example.com"
    if UUID.fullmatch(str(body.get("id"))):
        (body["id"],) = path.values()


def _know_the_version(case: Case[Any]) -> None:
    """The example stands for the current version, and a body is one that was read just now."""
    version = httpx2.get(_url(case)).json().get("version", 1)
    case.headers["If-Match"] = case.headers["If-Match"].replace(EXAMPLE_TAG, f'"{version}"')
    if isinstance(case.body, dict) and isinstance(case.body.get("version"), int):
        case.body["version"] = version


def _go_on(case: Case[Any]) -> None:
    """Take the cursor that follows the first row of this very list, if another row does."""
    del case.query["cursor"]
    page = httpx2.get(_url(case), params={**case.query, "limit": 1}).json()
    if page.get("next_cursor"):
        case.query["cursor"] = page["next_cursor"]


def _url(case: Case[Any]) -> str:
    return f"{str(case.operation.base_url).rstrip('/')}{case.formatted_path}"


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Whether the failure stands."""
    if isinstance(failure, RejectedPositiveData):
        return not _is_unforeseeable(response.json())
    if isinstance(failure, AcceptedNegativeData) and case.media_type in (FORM, MULTIPART):
        # In a form an empty value is null, for which a form's schema has no word.
        return not isinstance(case.body, dict) or "" not in case.body.values()
    if isinstance(failure, EnsureResourceAvailability):
        # A new account has no links yet; the account itself would be `account_not_found`.
        return bool(response.json()["code"] != "not_found")
    return True


def _is_unforeseeable(problem: dict[str, Any]) -> bool:
    if problem["code"] == "invalid_request":
        return all(
            (fault.get("pointer") or fault.get("parameter"), fault["code"]) in BY_KNOWLEDGE
            for fault in problem["errors"]
        )
    return problem["code"] in BY_STATE
