"""What schemathesis cannot know: which resources exist, and which errors depend on them.

It runs in the process of schemathesis, in a directory with the ids that the test created.
"""

import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

from app.resources.fields import EXAMPLE_ID
from tests.catalog import CATALOG, Entry

# Problems that depend on stored data, and why a well-formed request may get them.
BY_STATE: Final = {
    "stale_version": "If-Match or the version in the body is not the current one, or "
    "If-None-Match is",
    "idempotency_key_reused": "the key was used with another body",
    **{
        entry.not_found: f"the body refers to a row of {entry.path} that does not exist"
        for entry in CATALOG
    },
}
# Faults that a schema cannot express.
BY_KNOWLEDGE: Final = {
    ("/email", "invalid_format"): "which domains are reserved, which scripts mix",
    (
        "/username",
        "invalid_format",
    ): "which characters show nothing, and where controls are trimmed",
    ("/dob", "too_small"): "a format has no minimum",
    ("/dob", "too_large"): "a schema does not know what day it is",
    ("/country", "invalid_format"): "which countries exist",
    ("country", "invalid_format"): "which countries exist",
    ("spreadsheet", "invalid_format"): "that only CSV is for spreadsheets",
    ("/username", "too_short"): "which characters beyond ASCII are white space",
    ("/name", "too_short"): "which characters beyond ASCII are white space",
    ("/price", "invalid_format"): "how many decimals a number has",
    ("/price", "too_large"): "that numbers such as 5e-324 are beyond the normal range of doubles",
    ("/phone_number", "invalid_format"): "the numbers of each country, and which country is meant",
    ("/id", "duplicate"): "that each row of a batch has an id of its own",
    ("/email", "not_unique"): "that each row of a batch has an email of its own",
}


_seeds: Final = json.loads(Path("seeds.json").read_text())
SEEDED: Final = {name: ids[0] for name, ids in _seeds["ids"].items()}
ENTRIES: Final = {f"{entry.path}:import": entry for entry in CATALOG}
NAMES: Final = {entry.path: entry.id_name for entry in CATALOG}
DOOMED: Final = {path: iter(ids) for path, ids in _seeds["doomed"].items()}
UUID: Final = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
KEY: Final = re.compile("[!-~]{1,255}")
CURSOR: Final = re.compile("[!-~]{1,2000}")
EMAIL: Final = re.compile(r"\w+@example\.com")
EXAMPLE_TAG: Final = '"3"'
FILES: Final[set[str]] = set()  # valid files that were sent
BOOLEANS: Final[set[str]] = set()  # the parameters of queries that are booleans
_numbers: Final = itertools.count()

# By itself it would send only letters and digits as valid headers.
_TAG = st.builds('{}"{}"'.format, st.sampled_from(["", "W/"]), st.text("!#123~\xff", max_size=9))
schemathesis.openapi.format(
    "entity-tags",
    st.sampled_from([EXAMPLE_TAG, "*"]) | st.lists(_TAG, min_size=1).map(", ".join),
)
# A file is sent as it is.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    for name in ("If-Match", "If-None-Match"):
        raw_schema["components"]["parameters"][name]["schema"]["format"] = "entity-tags"
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for one in operation.get("parameters", ()):
                if one.get("in") == "query" and one["schema"].get("type") == "boolean":
                    BOOLEANS.add(one["name"])
    # The formats that the service takes, and more, so that most values are valid.
    for name, form in (("email", "email"), ("image_link", "uri")):
        for schema in raw_schema["components"]["schemas"].values():
            if "pattern" in schema.get("properties", {}).get(name, {}):
                schema["properties"][name]["format"] = form


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Replace valid ids, versions, keys and cursors by ones that exist.

    With random ones most requests would fail on them, before what they are meant to test.
    """
    if case.meta is None:
        return
    by_one_value = (
        case.meta.phase.name is TestPhase.COVERAGE
    )  # it varies one value, the others must exist
    for name, value in case.path_parameters.items():
        if UUID.fullmatch(str(value)):
            if case.method == "DELETE" and case.path in DOOMED:  # spare what other requests need
                case.path_parameters[name] = next(DOOMED[case.path], value)
            elif by_one_value:
                case.path_parameters[name] = SEEDED[name]
    _let_links_be_there(case)
    if case.meta.phase.name is TestPhase.STATEFUL and case.meta.generation.mode.is_positive:
        case.query.pop("validate_only", None)  # later requests need what this one creates
    key = case.headers.get("Idempotency-Key", "")
    if KEY.fullmatch(key) and (by_one_value or case.meta.generation.mode.is_negative):
        case.headers["Idempotency-Key"] = f"{key[:200]}{next(_numbers)}"
    _let_most_writes_pass(case)
    _fill_in_body(case)
    if EXAMPLE_TAG in case.headers.get("If-Match", ""):
        _know_the_version(case)
    if CURSOR.fullmatch(str(case.query.get("cursor", ""))):
        _go_on(case)


def _let_links_be_there(case: Case[Any]) -> None:
    """Make the link that is to be deleted: an earlier request may have deleted it."""
    if case.method != "DELETE" or case.path in DOOMED:
        return
    if all(UUID.fullmatch(str(value)) for value in case.path_parameters.values()):
        body = {} if "item_id" in case.path_parameters else {"item_id": SEEDED["item_id"]}
        httpx.put(_url(case), json=body)


def _let_most_writes_pass(case: Case[Any]) -> None:
    """Leave out a condition that no row satisfies, or a version that few have, seven times of 8.

    The version of the example is that of rows that were written twice.
    """
    tags = case.headers.get("If-None-Match", "")
    if (tags == "*" or EXAMPLE_TAG in tags) and case.method != "GET" and next(_numbers) % 8:
        del case.headers["If-None-Match"]
    if (
        case.meta is not None
        and case.meta.generation.mode.is_positive
        and isinstance(case.body, dict)
        and next(_numbers) % 8
    ):
        case.body.pop("version", None)


def _fill_in_body(case: Case[Any]) -> None:
    assert case.meta is not None
    is_wrong = case.meta.is_negative_at(ParameterLocation.BODY)
    if case.path in ENTRIES and not is_wrong and next(_numbers) % 8:
        case.body = _file_of(ENTRIES[case.path], str(case.media_type))
    if isinstance(case.body, dict):
        _fill_in(case.body, case.path_parameters)
        rows = case.body.get("data")
        if ":batch" in case.path and isinstance(rows, list):
            _fill_in_rows(rows, case.path.partition(":")[0])


def _file_of(entry: Entry, media_type: str) -> str:
    """A valid file with three new rows."""
    rows = []
    for number in itertools.islice(_numbers, 3):
        row = entry.body(number)
        row |= {name: SEEDED[parent.id_name] for name, parent in entry.parents().items()}
        rows.append(row | {"email": f"ada{number}@example.com"} if "email" in row else row)
    if media_type == "text/csv":
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        text = table.getvalue()
    else:
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
    FILES.add(text)
    return text


def _fill_in(body: dict[str, Any], path: dict[str, Any]) -> None:
    """Put in ids that exist, an email that is free, and the id of the path."""
    for field in SEEDED.keys() & body.keys():
        if body[field] == EXAMPLE_ID:
            body[field] = SEEDED[field]
    if EMAIL.fullmatch(str(body.get("email"))):
        body["email"] = f"ada{next(_numbers)}@example.com"
    if UUID.fullmatch(str(body.get("id"))):
        (body["id"],) = path.values()


def _fill_in_rows(rows: list[Any], path: str) -> None:
    """The same for the rows of a batch on this resource, each with an id of its own and the version
    of new rows.
    """
    doomed = DOOMED[f"{path}/{{{NAMES[path]}}}"]
    for row in rows:
        if isinstance(row, dict):
            id_given = row.get("id", "")
            _fill_in(row, {"id": next(doomed, id_given)})
            if isinstance(row.get("version"), int) and row["version"] > 0:
                row["version"] = 1


def _know_the_version(case: Case[Any]) -> None:
    """Replace the example ETag, and the version in the body, by the current version."""
    version = httpx.get(_url(case)).json().get("version", 1)
    case.headers["If-Match"] = case.headers["If-Match"].replace(EXAMPLE_TAG, f'"{version}"')
    if isinstance(case.body, dict) and isinstance(case.body.get("version"), int):
        case.body["version"] = version


def _go_on(case: Case[Any]) -> None:
    """Replace the cursor by one of this list, if it has more than one row."""
    del case.query["cursor"]
    page = httpx.get(_url(case), params={**case.query, "limit": 1}).json()
    if page.get("next_cursor"):
        case.query["cursor"] = page["next_cursor"]


def _url(case: Case[Any]) -> str:
    return f"{str(case.operation.base_url).rstrip('/')}{case.formatted_path}"


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Return whether the failure is one."""
    if isinstance(failure, RejectedPositiveData):
        is_any_text = case.path in ENTRIES and case.body not in FILES
        return not (is_any_text or _depends_on_more_than_the_schema(response.json()))
    if isinstance(failure, AcceptedNegativeData) and _spells_a_boolean_otherwise(case):
        return False
    if isinstance(failure, EnsureResourceAvailability):
        # A new account has no links yet; the account itself would be `account_not_found`.
        return bool(response.json()["code"] != "not_found")
    return True


def _spells_a_boolean_otherwise(case: Case[Any]) -> bool:
    """Whether the query has a boolean as 1 or True, for example, which is taken, not documented."""
    given = [case.query[name] for name in BOOLEANS & case.query.keys()]
    texts = {str(one[0] if isinstance(one, list) and len(one) == 1 else one) for one in given}
    documented = {"true", "false", *(str(one) for one in given if isinstance(one, bool))}
    return any(text.lower() in ("0", "1", "true", "false") for text in texts - documented)


def _depends_on_more_than_the_schema(problem: dict[str, Any]) -> bool:
    if problem["code"] == "invalid_request":
        return all(
            (
                re.sub("^/data/[0-9]+", "", fault.get("pointer", "")) or fault.get("parameter"),
                fault["code"],
            )
            in BY_KNOWLEDGE
            for fault in problem["errors"]
        )
    return problem["code"] in BY_STATE
