"""The Postman collection runs without failures and has every operation."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import URL

from scripts.postman.collection import COLLECTION, write
from scripts.postman.collection import collection as make_collection
from tests.clients.conftest import called_operations, operations, run_tool
from tests.factories import make_key
from tests.servers import Server, server_environment

pytestmark = pytest.mark.slow

ADDRESS = "http://{{host}}:{{port}}"
FIELDS = ["email", "username", "dob", "country", "phone_number"]
TUTORIAL = [
    ("POST", "/accounts", FIELDS),
    ("GET", "/accounts", []),
    ("GET", "/accounts/{{account_id}}", []),
    ("PUT", "/accounts/{{account_id}}", FIELDS),
    ("DELETE", "/accounts/{{account_id}}", []),
]


@pytest.fixture(scope="module")
def collection() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COLLECTION.read_bytes())
    return content


def requests_in(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        if "item" in item:
            yield from requests_in(item)
        else:
            yield item["request"]


def path_of(request: dict[str, Any]) -> str:
    raw: str = request["url"]["raw"]
    assert raw.startswith(f"{ADDRESS}/")
    return raw.removeprefix(ADDRESS).partition("?")[0]


def form_of(request: dict[str, Any]) -> list[dict[str, str]]:
    fields: list[dict[str, str]] = request["body"]["formdata"] if "body" in request else []
    return fields


def test_is_what_the_script_writes() -> None:
    assert COLLECTION.read_text() == write(), "run make openapi"


def test_begins_with_the_tutorials_requests(collection: dict[str, Any]) -> None:
    requests = requests_in(collection["item"][0])

    assert [
        (one["method"], path_of(one), [field["key"] for field in form_of(one)]) for one in requests
    ] == TUTORIAL


def test_misses_no_operation(collection: dict[str, Any], document: dict[str, Any]) -> None:
    requests = [f"{request['method']} {path_of(request)}" for request in requests_in(collection)]

    assert called_operations(document, requests) == operations(document)


def test_a_new_resource_has_a_folder(document: dict[str, Any]) -> None:
    """The paths of items under another name, which no script mentions."""
    paths = {path: document["paths"][path] for path in ("/items", "/items/{item_id}")}
    renamed = json.loads(json.dumps(paths).replace("item", "thing"))
    made = make_collection({**document, "paths": {**document["paths"], **renamed}})
    (folder,) = (one for one in made["item"] if one["name"] == "Things")
    assert [f"{one['method']} {path_of(one)}" for one in requests_in(folder)] == [
        "POST /accounts",
        "POST /things",
        "GET /things",
        "GET /things/{{thing_id}}",
        "PUT /things/{{thing_id}}",
        "PATCH /things/{{thing_id}}",
        "DELETE /things/{{thing_id}}",
        "DELETE /accounts/{{account_id}}",
    ]
    assert {"key": "thing_id", "value": ""} in made["variable"]


@pytest.mark.parametrize("auth_mode", ["off", "on"])
async def test_runs_through(
    npm_tools: Path,
    database: URL,
    start_server: Callable[..., Server],
    collection: dict[str, Any],
    tmp_path: Path,
    auth_mode: str,
) -> None:
    key = await make_key(database, "write") if auth_mode == "on" else ""
    environment = {**server_environment(database), "AUTH_MODE": auth_mode}
    server: Server = await asyncio.to_thread(start_server, environment)
    address, report = urlsplit(server.url), tmp_path / "report.json"
    run_tool(
        *[npm_tools / "newman", "run", COLLECTION, "--reporters", "cli,json", "--color", "off"],
        *["--env-var", f"host={address.hostname}", "--env-var", f"port={address.port}"],
        *["--env-var", f"api_key={key}"],
        *["--reporter-json-export", report, "--timeout-request", "120000"],
        cwd=tmp_path,
    )

    run = json.loads(report.read_bytes())["run"]
    assert run["failures"] == []
    assert run["stats"]["requests"]["total"] == len(list(requests_in(collection)))
    assert run["stats"]["assertions"]["total"] > run["stats"]["requests"]["total"]
