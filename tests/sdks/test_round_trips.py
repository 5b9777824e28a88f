"""Generated SDKs send what they were told to, and read what they get.

There is one scenario. The server's log tells whether a program in `programs/` sent it; the program
checks the answers as its SDK read them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import run_tool
from tests.programs import find_program
from tests.sdks.compilers import (
    Tools,
    compile_typescript,
    find_typhoeus,
    go_environment,
)
from tests.servers import Server

pytestmark = [pytest.mark.slow, pytest.mark.sdks]

SCENARIO = [
    "POST /accounts 201",  # Ada, with all fields
    "POST /accounts 201",  # Bob, with those that are required
    "POST /items 201",  # for 1234567.89, a number
    "POST /items 201",  # for 19.9, as text
    "GET /accounts/{account_id} 200",
    "GET /items 200",  # of Ada, by price, descending
    "GET /items 200",  # with `lamp`, from 20 on, by name
    "GET /accounts 200",  # of two countries, by email, counted, created and born in a range
    "GET /accounts 200",  # the first of two pages with one row each
    "GET /accounts 200",  # the second
    "PATCH /accounts/{account_id} 200",  # the username; the country stays
    "PATCH /accounts/{account_id} 200",  # null clears the country; If-Match holds
    "PATCH /accounts/{account_id} 412",  # with a version that is old
    "POST /accounts 422",  # with an email whose domain is none
    "DELETE /accounts/{account_id} 204",  # with her items
    "GET /accounts/{account_id} 404",
]


def go_program(home: Path, tools: Tools) -> list[object]:
    go = find_program("go", "golang-go")
    environment = go_environment(home, tools)
    program = home / "round_trip"
    run_tool(go, "build", "-o", program, "round_trip.go", cwd=home, seconds=300, **environment)
    return [program]


def ruby_program(home: Path, tools: Tools) -> list[object]:
    return [find_typhoeus(), "-I", "satchel/lib", "round_trip.rb"]


def node_program(home: Path, tools: Tools) -> list[object]:
    program = home / "out" / "round_trip.js"
    if not program.exists():
        compile_typescript(home, tools)
    return [find_program("node", "nodejs"), program]


PROGRAMS: dict[str, Callable[[Path, Tools], list[object]]] = {
    "Go": go_program,
    "Ruby": ruby_program,
    "TypeScript (hey-api)": node_program,
    "TypeScript (orval)": node_program,
    "TypeScript (fetch)": node_program,
}


@pytest.mark.parametrize("title", PROGRAMS)
async def test_an_sdk_sends_the_scenario(
    homes: dict[str, Path],
    tools: Tools,
    guarded_server: tuple[Server, str],
    title: str,
) -> None:
    server, key = guarded_server
    program = PROGRAMS[title](homes[title], tools)

    environment = {"SATCHEL_URL": server.url, "SATCHEL_KEY": key}
    run_tool(*program, server.url, key, cwd=homes[title], seconds=120, **environment)

    assert server.stop() == 0  # a request is logged after its response
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    requests = [line for line in lines if line.get("route") not in (None, "/readyz")]
    assert [f"{one['method']} {one['route']} {one['status']}" for one in requests] == SCENARIO
