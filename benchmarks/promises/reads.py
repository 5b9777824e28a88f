"""What is promised of every request and of reads."""

import json
import time
from pathlib import Path

from benchmarks.answers import expect
from benchmarks.client import Client
from benchmarks.promises.asking import NOBODY, NUMBERS, create, expect_problem

LINE_SECONDS = 30


def check_keys(client: Client) -> None:
    path = "/accounts?limit=1"
    for header in (None, "Bearer", "Bearer satchel_production_x_00000000", "Basic eDp5"):
        refused = client.ask("GET", path, headers={"Authorization": header})
        expect_problem(refused, 401, "unauthenticated")
        found = refused.headers.get("www-authenticate", "").partition(" ")[0]
        expect("the challenge", found=found, wanted="Bearer")


def check_heads(client: Client) -> None:
    path = create(client).headers["location"]
    answer = client.ask("GET", path, headers={"X-Request-ID": "of-the-client"})
    for name, wanted in (
        ("x-request-id", "of-the-client"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-cache"),
        ("etag", f'"{answer.json["version"]}"'),
    ):
        expect(name, found=answer.headers.get(name), wanted=wanted)
    ids = {client.ask("GET", path).headers["x-request-id"] for _ in range(2)}
    expect("the number of request ids", found=len(ids), wanted=2)
    head = client.ask("HEAD", path)
    expect("the ETag of HEAD", found=head.headers["etag"], wanted=answer.headers["etag"])


def check_conditional_get(client: Client) -> None:
    path = create(client).headers["location"]
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = client.ask("GET", path, headers={"If-None-Match": tag})
        expect(f"a get with If-None-Match: {tag}", found=answer.status, wanted=304)
        expect("its body", found=answer.body, wanted=b"")
    other = client.ask("GET", path, headers={"If-None-Match": '"2"'})
    expect("a get of another version", found=other.status, wanted=200)
    expect_problem(client.ask("GET", path, headers={"If-Match": '"2"'}), 412, "stale_version")


def check_unknown_paths(client: Client) -> None:
    expect_problem(client.ask("GET", NOBODY), 404, "account_not_found")
    expect_problem(client.ask("GET", "/nothing"), 404, "not_found")
    answer = client.ask("GET", "/accounts/1")
    expect("the status of a malformed id", found=answer.status, wanted=422)
    expect_problem(answer, 422, "invalid_request")
    expect_problem(client.ask("GET", f"{NOBODY}?x=1"), 422, "invalid_request", "x unknown")
    wrong = client.ask("DELETE", "/accounts")
    expect_problem(wrong, 405, "method_not_allowed")
    expect("Allow has POST", found="POST" in wrong.headers["allow"], wanted=True)


def check_metrics(client: Client) -> None:
    """Metrics may be those of one worker, so they are looked at more than once."""
    found = False
    for _ in range(6):
        client.ask("GET", NOBODY)
        for _ in range(2):
            lines = client.ask("GET", "/metrics").body.decode().splitlines()
            found |= any(
                "http_request_duration_seconds_bucket{" in line and 'route="/accounts/' in line
                for line in lines
            )
    expect("a histogram of the route", found=found, wanted=True)


def check_log(client: Client, log: Path) -> None:
    """One line for each request. It may come after the response."""
    own = f"logged-{next(NUMBERS)}"
    client.ask("GET", NOBODY, headers={"X-Request-ID": own})
    deadline = time.monotonic() + LINE_SECONDS
    lines: list[str] = []
    while not lines and time.monotonic() < deadline:
        time.sleep(0.02)
        lines = [line for line in log.read_text().splitlines() if own in line]
    expect("the number of log lines of a request", found=len(lines), wanted=1)
    line = json.loads(lines[0])
    for name, wanted in (("method", "GET"), ("principal", "key:load"), ("request_id", own)):
        expect(f"the {name} in the log", found=line[name], wanted=wanted)
    expect("the status in the log", found=line["status"], wanted=404)
    expect("the problem in the log", found=line["problem"], wanted="account_not_found")
    expect("the path in the log", found=NOBODY in lines[0], wanted=False)


def check_pages(client: Client) -> None:
    first = client.ask("GET", "/accounts?limit=2")
    cursor = first.json["next_cursor"]
    link = first.headers["link"]
    expect("the Link of a page", found=link.endswith('; rel="next"'), wanted=True)
    second = client.ask("GET", link[1 : link.index(">")])
    ids = [row["id"] for page in (first, second) for row in page.json["data"]]
    expect("the number of rows of two pages", found=len(set(ids)), wanted=4)
    by_cursor = client.ask("GET", f"/accounts?limit=2&cursor={cursor}")
    expect("the page of the cursor", found=by_cursor.json["data"], wanted=second.json["data"])
    changed = f"{cursor[:-6]}{'A' if cursor[-6] != 'A' else 'B'}{cursor[-5:]}"
    for query in (f"cursor={changed}", "cursor=x", f"country=JO&cursor={cursor}"):
        expect_problem(client.ask("GET", f"/accounts?{query}"), 422, "invalid_cursor")
    for query, place in (
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limits=1", "limits"),
    ):
        refused = client.ask("GET", f"/accounts?{query}")
        expect_problem(refused, 422, "invalid_request")
        expect("the parameter", found=refused.json["errors"][0]["parameter"], wanted=place)
