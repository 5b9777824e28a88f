"""How the promises are asked for."""

import itertools
import json
from typing import Any

from benchmarks.answers import expect
from benchmarks.client import Answer, Client

JSON = {"Content-Type": "application/json"}
NOBODY = "/accounts/01a00000-0000-7000-8000-000000000000"
NUMBERS = itertools.count(1)


def expect_problem(answer: Answer, status: int, code: str, *places: str) -> None:
    """`places`: what each of its errors is about, and its code."""
    expect(f"the status with {answer.body[:300]!r}", found=answer.status, wanted=status)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    expect("the type of a problem", found=kind, wanted="application/problem+json")
    problem = answer.json
    expect("its code", found=problem["code"], wanted=code)
    wanted = answer.headers["x-request-id"]
    expect("the request id of a problem", found=problem["request_id"], wanted=wanted)
    found = {
        f"{fault.get('pointer') or fault.get('parameter') or fault.get('header')} {fault['code']}"
        for fault in problem["errors"]
    }
    expect(f"the errors of {code}", found=found & set(places), wanted=set(places))


def create(client: Client, body: str = "", **headers: str) -> Answer:
    name = f"promised{next(NUMBERS)}"
    body = body or json.dumps({"email": f"{name}@mail.example", "username": name})
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.ask("POST", "/accounts", body, {**JSON, **sent})


def change(client: Client, path: str, fields: dict[str, Any], **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.ask("PATCH", path, json.dumps(fields), {**JSON, **sent})
