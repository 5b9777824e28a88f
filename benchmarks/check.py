"""Checks answers before anything is measured: fast and wrong does not count."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from benchmarks.answers import answer_faults, expect
from benchmarks.client import Client
from benchmarks.contacts import COUNTRIES, domain, phone_number
from benchmarks.contestants.registry import Contestant
from benchmarks.data import account, email
from benchmarks.targets import PAGE_SIZE, Targets

_numbers = itertools.count(1)


def check(contestant: Contestant, operation: str, client: Client, targets: Targets) -> None:
    """Errors: WrongAnswerError."""
    with answer_faults():
        _CHECKS[operation](contestant, client, targets)


def _check_get(contestant: Contestant, client: Client, targets: Targets) -> None:
    if contestant.constant:
        wanted = {"message": "Hello World!"}
        expect("the answer", found=client.get_json(targets.paths["get"][0]), wanted=wanted)
        return
    for number, path in list(zip(targets.people, targets.paths["get"], strict=True))[:5]:
        expect("the email", found=_row(client.get_json(path))["email"], wanted=email(number))


def _check_list(_contestant: Contestant, client: Client, targets: Targets) -> None:
    paths = targets.paths["list"]
    for path in paths[:: max(1, len(paths) // 5)]:
        rows = _rows(client, path)
        newest = int(rows[0]["email"].removeprefix("person").partition("@")[0])
        wanted = [email(number) for number in range(newest, newest - PAGE_SIZE, -1)]
        expect(f"the page {path}", found=[row["email"] for row in rows], wanted=wanted)


def _check_filter(_contestant: Contestant, client: Client, targets: Targets) -> None:
    for path, country in list(zip(targets.paths["filter"], COUNTRIES, strict=True))[:5]:
        rows = _rows(client, path)
        expect("the countries", found={row["country"] for row in rows}, wanted={country})
        expect("the page is short enough", found=len(rows) <= PAGE_SIZE, wanted=True)


def _row(answer: dict[str, Any]) -> dict[str, Any]:
    """The account, which may lie in an envelope."""
    row: dict[str, Any] = answer.get("data", answer)
    return row


def _rows(client: Client, path: str) -> list[dict[str, Any]]:
    page = client.get_json(path)
    rows: list[dict[str, Any]] = page["data"] if isinstance(page, dict) else page
    return rows


def _check_create(contestant: Contestant, client: Client, _targets: Targets) -> None:
    for country in COUNTRIES:
        number = next(_numbers)
        fields = {
            "email": f"checked{number}@{domain(number)}",
            "username": f"checked{number}",
            "dob": "1990-05-17",
            "country": country,
            "phone_number": phone_number(country, number),
        }
        path = contestant.paths.accounts
        status, body = client.send("POST", path, fields, form=contestant.form)
        expect(f"the status with {body[:300]!r}", found=status in (200, 201), wanted=True)
        stored = _row(client.get_json(f"{path}/{_row(json.loads(body))['id']}"))
        for name in ("email", "username", "country", "phone_number"):
            expect(f"the created {name}", found=stored[name], wanted=fields[name])


def _check_change(contestant: Contestant, client: Client, targets: Targets) -> None:
    username = f"checked{next(_numbers)}"
    number, path = targets.people[-1], targets.paths["get"][-1]
    fields = {"username": username}
    if contestant.form:  # the tutorial knows PUT alone, which takes the whole account
        whole = account(number)
        fields = {
            name: whole[name] for name in ("email", "dob", "country", "phone_number")
        } | fields
    method = "PUT" if contestant.form else "PATCH"
    status, body = client.send(method, path, fields, form=contestant.form)
    expect(f"the status with {body[:300]!r}", found=status, wanted=200)
    found = _row(client.get_json(path))
    expect("the email", found=found["email"], wanted=email(number))
    expect("the username", found=found["username"], wanted=username)


def _check_mixed(contestant: Contestant, client: Client, targets: Targets) -> None:
    for part in (_check_get, _check_list, _check_create):
        part(contestant, client, targets)


_CHECKS: dict[str, Callable[[Contestant, Client, Targets], None]] = {
    "get": _check_get,
    "list": _check_list,
    "filter": _check_filter,
    "create": _check_create,
    "change": _check_change,
    "mixed": _check_mixed,
}
