"""Requests that are refused, each with the problem that answers it, and what to write them with."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.connections import head
from tests.factories import account_body

# Stands in values; no answer may repeat it.
SECRET = "Zq7secret"
UNKNOWN = "01890000-0000-7000-8000-000000000000"

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"

ACCOUNT = "/accounts/{account}"
ITEM = "/items/{item}"
PARTS_END = b"--XX--\r\n"


@dataclass(frozen=True)
class Case:
    """A request, and what it is answered with.

    target: with `{account}` and `{item}` for the ids of rows that are there.
    answer: status and code of the problem.
    faults: all that it lists, each as a place (`/pointer`, `?parameter`, `header:`) and a code.
    """

    name: str
    method: str
    target: str
    faults: tuple[str, ...]
    answer: str = "422 invalid_request"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def request(self, ids: dict[str, str]) -> bytes:
        headers = list(self.headers)
        if self.body is not None:
            headers.append(("Content-Length", str(len(self.body))))
        return head(self.method, self.target.format(**ids), headers) + (self.body or b"")

    @property
    def places(self) -> dict[str, str]:
        return {place: code for place, _, code in (fault.rpartition(" ") for fault in self.faults)}


def read(name: str, target: str, *faults: str, method: str = "GET", **more: Any) -> Case:
    """A request without a body."""
    return Case(name, method, target, faults, **more)


def send(
    name: str,
    body: bytes,
    *faults: str,
    media_type: str | None = JSON,
    to: str = "POST /accounts",
    headers: tuple[tuple[str, str], ...] = (),
    **more: Any,
) -> Case:
    """A request with a body."""
    method, _, target = to.partition(" ")
    if media_type is not None:
        headers = (*headers, ("Content-Type", media_type))
    return Case(f"{to}: {name}", method, target, faults, body=body, headers=headers, **more)


def account(**fields: Any) -> bytes:
    """A valid account but for `fields`, as JSON."""
    return json.dumps(account_body(**fields)).encode()


def item(**fields: Any) -> bytes:
    valid = {"account_id": UNKNOWN, "name": "Lamp", "image_link": "https://example.com/lamp.jpg"}
    return json.dumps({**valid, **fields}).encode()


def country(value: bytes) -> bytes:
    """A valid account but for its country, which is JSON written as it stands."""
    return account()[:-1] + b', "country": ' + value + b"}"


def price(value: str) -> bytes:
    return item()[:-1] + f', "price": {value}}}'.encode()


def nested(depth: int) -> bytes:
    """An account of this depth, the object itself included."""
    return country(b"[" * (depth - 1) + b"]" * (depth - 1))


def form(*pairs: str) -> bytes:
    """A valid account and these fields besides, URL-encoded."""
    return "&".join(("email=x@example.com", "username=x", *pairs)).encode("latin-1")


def part(name: str, value: bytes, more: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"{more}'.encode("latin-1")
    return b"--XX\r\n" + disposition + b"\r\n\r\n" + value + b"\r\n"


def parts(*more: bytes) -> bytes:
    """A valid account and these parts besides, without the closing boundary."""
    return part("email", b"x@example.com") + part("username", b"x") + b"".join(more)


def sent_as(media_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a request that has these fields as its body; null is empty in a form."""
    texts = {name: "" if value is None else str(value) for name, value in fields.items()}
    if media_type == FORM:
        return {"content": urlencode(texts), "headers": {"Content-Type": FORM}}
    if media_type == MULTIPART:
        parts = [part(name, text.encode()) for name, text in texts.items()]
        return {"content": b"".join([*parts, PARTS_END]), "headers": {"Content-Type": MULTIPART}}
    return {"json": fields, "headers": {"Content-Type": media_type}}
