"""Whatever is sent, the answer is no failure of ours, and every error a well-formed problem."""

import json
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.cases import (
    FORM,
    JSON,
    MERGE_PATCH,
    MULTIPART,
    PARTS_END,
    UNKNOWN,
    part,
)
from tests.catalog import CATALOG
from tests.responses import assert_headers, assert_problem

# All examples of a test share its client, and with it the rows that they make.
bounded = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(), max_size=30)  # lone surrogates and NUL among them
fields = st.sampled_from(sorted({name for one in CATALOG for name in one.resource.names}))
parameters = st.sampled_from(sorted({name for one in CATALOG for name in one.query.model_fields}))
likely = st.sampled_from(
    [
        *("JO", "+962790000000", "https://example.com/", UNKNOWN, "a@example.com", "19.90"),
        *("1990-05-17", "2026-01-31T09:30:00Z", "0001-01-01T00:00:00+14:00", "-created"),
        *("true", "exact", "5"),
    ]
)
scalars = st.one_of(likely, st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.one_of(
    scalars, st.lists(scalars, max_size=3), st.dictionaries(texts, scalars, max_size=2)
)
objects = st.dictionaries(st.one_of(fields, texts), values, max_size=8)
media_types = st.sampled_from([JSON, MERGE_PATCH, FORM, MULTIPART, "multipart/form-data", "x/y"])
operations = st.sampled_from(
    [
        operation
        for path, own in ((one.path, f"{one.path}/{{{one.name}}}") for one in CATALOG)
        for operation in (f"POST {path}", f"PUT {own}", f"PATCH {own}")
    ]
)


class Sender:
    """Sends requests to rows that are there, and looks at the answers."""

    def __init__(self, client: httpx.AsyncClient, ids: dict[str, str]) -> None:
        self._client = client
        self._ids = ids

    async def body(self, operation: str, media_type: str, content: bytes) -> None:
        method, target = operation.format(**self._ids).split()
        await self.any(method, target, headers={"Content-Type": media_type}, content=content)

    async def any(self, method: str, target: str, **request: Any) -> None:
        answer = await self._client.request(method, target, **request)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert_problem(answer, answer.status_code, answer.json()["code"])
        assert_headers(answer)


@pytest.fixture
async def send(client: httpx.AsyncClient) -> Sender:
    return Sender(client, {one.name: (await one.create(client))["id"] for one in CATALOG})


@bounded
@given(operations, media_types, st.binary(max_size=200))
async def test_bytes(send: Sender, operation: str, media_type: str, content: bytes) -> None:
    await send.body(operation, media_type, content)


@bounded
@given(operations, st.one_of(objects, values))
async def test_json(send: Sender, operation: str, value: Any) -> None:
    await send.body(operation, JSON, json.dumps(value).encode())


@bounded
@given(operations, st.lists(st.tuples(st.one_of(fields, texts), scalars.map(str)), max_size=8))
async def test_forms(send: Sender, operation: str, pairs: list[tuple[str, str]]) -> None:
    await send.body(operation, FORM, urlencode(pairs, errors="surrogatepass").encode())


@bounded
@given(operations, st.lists(st.tuples(fields, st.binary(max_size=30), texts), max_size=5))
async def test_parts(
    send: Sender, operation: str, fields_sent: list[tuple[str, bytes, str]]
) -> None:
    parts = [
        part(name, value, "; " + quote(more, safe='"; =*:', errors="replace"))
        for name, value, more in fields_sent
    ]
    await send.body(operation, MULTIPART, b"".join([*parts, PARTS_END]))


@bounded
@given(
    st.sampled_from([one.path for one in CATALOG]),
    st.lists(st.tuples(st.one_of(parameters, texts), scalars.map(str)), max_size=6),
)
async def test_queries(send: Sender, path: str, pairs: list[tuple[str, str]]) -> None:
    await send.any("GET", f"{path}?{urlencode(pairs, errors='surrogatepass')}")


@bounded
@given(
    st.sampled_from(["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"]),
    st.sampled_from(["/", *(f"{one.path}/" for one in CATALOG)]),
    st.binary(min_size=1, max_size=40),
    st.dictionaries(
        st.sampled_from([b"If-Match", b"If-None-Match", b"X-Request-ID", b"Idempotency-Key"]),
        st.binary(max_size=20).map(lambda value: value.translate(None, b"\r\n\0")),
    ),
)
async def test_paths_and_headers(
    send: Sender, method: str, parent: str, name: bytes, headers: dict[bytes, bytes]
) -> None:
    target = parent + quote_from_bytes(name, safe="")
    await send.any(method, target, headers=headers)
