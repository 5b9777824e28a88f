"""Requests that every resource refuses, whatever its fields are."""

import json
from collections.abc import Iterator

from tests.api.cases import MERGE_PATCH, SECRET, UNKNOWN, Case, read, send
from tests.catalog import CATALOG, Entry


def of_resources() -> Iterator[Case]:
    for entry in CATALOG:
        own = f"{entry.path}/{{{entry.name}}}"
        for to in (f"POST {entry.path}", f"PUT {own}", f"PATCH {own}"):
            yield from _bodies(entry, to)
        yield from _queries(entry)
        yield from _targets(entry, own)


def _bodies(entry: Entry, to: str) -> Iterator[Case]:
    fields = {**entry.body(1), **dict.fromkeys(entry.parents(), UNKNOWN)}
    valid = json.dumps(fields).encode()
    for name, (value, code) in entry.bad.items():
        body = json.dumps({**fields, name: value}).encode()
        yield send(f"{name} {ascii(value)[:30]}", body, f"/{name} {code}", to=to)
        body = json.dumps({**fields, name: {"a": SECRET}}).encode()
        yield send(f"{name} is an object", body, f"/{name} wrong_type", to=to)
        twice = valid[:-1] + f', "{name}": "{SECRET}"}}'.encode()
        yield send(f"{name} twice", twice, f"/{name} duplicate", to=to)
    unknown = json.dumps({**fields, "x": SECRET}).encode()
    yield send("unknown field", unknown, "/x unknown", to=to)
    yield send("unknown parameter", valid, "?x unknown", to=f"{to}?x={SECRET}")
    yield send("no object", b"[]", " wrong_type", to=to)
    yield send("truncated", valid[:-1], to=to, answer="400 malformed_body")
    foreign = "x/y" if to.startswith("PATCH") else MERGE_PATCH
    unsupported = "415 unsupported_media_type"
    yield send("foreign type", valid, to=to, media_type=foreign, answer=unsupported)


def _queries(entry: Entry) -> Iterator[Case]:
    for each in entry.lists:
        path = each.path.replace("_id}", "}")
        for name in each.filters:
            for value in (f"%00{SECRET}", f"%ff{SECRET}"):
                target = f"{path}?{name}={value}"
                yield read(target, target, f"?{name} invalid_format")
        for query, fault in {
            f"x={SECRET}": "?x unknown",
            f"sort={SECRET}": "?sort invalid_format",
            "limit=201": "?limit too_large",
            "count=all": "?count invalid_format",
        }.items():
            yield read(f"{path}?{query}", f"{path}?{query}", fault)
        target, fault = f"{path}?cursor={SECRET}", "?cursor invalid_format"
        yield read(target, target, fault, answer="422 invalid_cursor")


def _targets(entry: Entry, own: str) -> Iterator[Case]:
    missing = f"404 {entry.not_found}"
    for method in ("GET", "DELETE"):
        malformed, unknown = f"{entry.path}/nobody", f"{entry.path}/{UNKNOWN}"
        fault = f"?{entry.id_name} invalid_format"
        yield read(f"{method} {malformed}", malformed, fault, method=method)
        yield read(f"{method} {unknown}", unknown, method=method, answer=missing)
        target = f"{own}?x={SECRET}"
        yield read(f"{method} {target}", target, "?x unknown", method=method)
    for target in (f"{entry.path}/", f"{own}/", f"{entry.path}%0A"):
        yield read(target, target, answer="404 not_found")
    for to in (f"PUT {entry.path}", f"DELETE {entry.path}", f"POST {own}"):
        yield send("not taken", b"{}", to=to, answer="405 method_not_allowed")
    refused = "400 malformed_header"
    for header in ("If-Match", "If-None-Match"):
        tags, fault, name = ((header, SECRET),), f"{header}: invalid_format", f"malformed {header}"
        for method in ("PUT", "PATCH", "DELETE"):
            to = f"{method} {own}"
            yield send(name, b"{}", fault, to=to, headers=tags, answer=refused)
        yield read(f"{name} {own}", own, fault, headers=tags, answer=refused)
    key, fault = (("Idempotency-Key", ""),), "Idempotency-Key: invalid_format"
    to = f"POST {entry.path}"
    yield send("malformed Idempotency-Key", b"{}", fault, to=to, headers=key, answer=refused)
    for method in ("PATCH", "DELETE"):
        for header, tag in (("If-Match", '"7"'), ("If-None-Match", "*")):
            stale, to = ((header, tag),), f"{method} {own}"
            yield send(f"stale {header}", b"{}", to=to, headers=stale, answer="412 stale_version")
