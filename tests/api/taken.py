"""Bodies that the service takes, found by trying values of all kinds in every field."""

import functools
import json
import random
from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.api.bodies.forms import parse_urlencoded
from app.api.bodies.json_text import parse_json
from app.api.routes import StrictRoute
from app.main import create_app
from app.resources.batches import Batch
from app.resources.fields import EXAMPLE_ID
from tests.api.test_edge_values import edges
from tests.applications import document, make_settings
from tests.catalog import CATALOG
from tests.clients.test_domain_data import cases, country_forms, emails, phone_numbers, words
from tests.json_schemas import Schema


def _models() -> Iterator[type[BaseModel]]:
    """The models of bodies, but for batches of them."""
    for context in iter_route_contexts(create_app(make_settings()).routes):
        route = context.original_route
        if isinstance(route, StrictRoute):
            for field in route.dependant.body_params:
                model: Any = field.field_info.annotation
                if not issubclass(model, Batch):
                    yield model


MODELS = {model.__name__: model for model in _models()}
BODIES = sorted(
    name
    for name in document()["components"]["schemas"]
    if name.removesuffix("Form").removesuffix("Multipart") in MODELS
)
EXAMPLES = 100
# What stands in examples for a key of which each row has its own, and the field that has it.
EXAMPLES_OF_KEYS = {"ada@example.com": "email", EXAMPLE_ID: "account_id"}
HEADERS = {"Content-Type": "application/json"}

# Letters, marks, control characters, blanks, and what is none to some engines.
texts = st.text(max_size=40) | st.text(
    "aZ09 -_.@/:%'\"\\#?&=+()\t\n\x01\x1c\x7f\x85\xdf\u0301\u0661\u200b\u3000\ufeff\U0001f600",
    max_size=20,
)
blanks = st.text(" \t\n\u00a0\u200b\ufeff", max_size=3)
countries = [form for form, _ in country_forms()]
phones = [number for _, number, _ in phone_numbers()]
numbers = (
    st.decimals(0, 10**10, places=2).map(str)
    | st.integers(-1, 10**11).map(str)
    | st.floats(0, 1e10).map(json.dumps)
    | st.sampled_from(["1e2", "19.990", "-0", "-0.0", "9999999999.99", "1.0", "2147483647.00"])
)
# By field: values that are likely to be taken.
LIKELY = {
    "email": st.builds("{}{}{}".format, blanks, emails, blanks),
    # One character may be the compatibility form of a code, or have one in lower case.
    "country": st.sampled_from(["\xdf", "\u338f", "\uff2a\uff2f", "(Jordan)", " jo\n"])
    | st.builds(lambda name, case: case(name), st.sampled_from(countries), cases),
    "phone_number": st.builds(
        lambda number, ours, theirs: number.replace(ours, theirs),
        st.sampled_from(["0790000000", "\uff10\uff17\uff19-000-0000", *phones]),
        st.sampled_from([" ", "-"]),
        st.sampled_from(["", " ", "\u202f", "/", ".", "\t", "\uff0d"]),
    ),
    "dob": st.dates(date(1890, 1, 1), date(2030, 1, 1)).map(str),
    "image_link": st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "hTTps"]),
        words | st.sampled_from(["example.com", "user:word@a.b:8080", "[::1]:80", "1"]),
        st.sampled_from(["", "/", "?", "#", "/%", "/[x]", "/../"]),
        words | st.text("a/%:@!$&'()*+,;=~._-[]#?\xdf\u0661\u200b", max_size=20),
    ),
}
# In any field, as JSON.
ANYTHING = (texts | st.uuids().map(str) | st.booleans() | st.none()).map(json.dumps) | numbers


@functools.cache
def generated(field: str | None) -> list[str]:
    """Values of `ANYTHING`, or those that a field is likely to take, as JSON; always the same."""
    found: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(LIKELY[field].map(json.dumps) if field else ANYTHING)
    def collect(value: str) -> None:
        found.append(value)

    collect()
    return found


def values(field: str, schema: Schema, valid: Any) -> Iterator[str]:
    """Values to try in a field, as JSON."""
    yield from (json.dumps(value) for value in edges(schema, valid))
    yield from (json.dumps(write(valid)) for write in (str.upper, str.lower) if valid)
    yield from generated(None)
    yield from generated(field) if field in LIKELY else ()


@functools.cache
def taken(name: str) -> dict[str, list[str]]:
    """Bodies that the service takes where it documents this schema, as JSON, by the field that
    varies. Those of a form have numbers where the schema has them, and text everywhere else.
    """
    schema = document()["components"]["schemas"][name]
    example: dict[str, Any] = schema["examples"][0]
    model = MODELS[name.removesuffix("Form").removesuffix("Multipart")]
    found: dict[str, list[str]] = {}
    for field, described in schema["properties"].items():
        others = {key: example[key] for key in schema.get("required", ()) if key != field}
        if field == "phone_number":
            others["country"] = "JO"
        for value in values(field, described, example.get(field, "")):
            if name in MODELS:
                before = json.dumps(others)[1:-1]
                body = f'{{{before}{before and ", "}"{field}": {value}}}'
                parsed = parse_json(body.encode())
            else:
                read = json.loads(value)
                text = "" if read is None else read if isinstance(read, str) else value
                parsed = parse_urlencoded(urlencode({**others, field: text}).encode())
                body = json.dumps({**others, field: _as_described(text, described)})
            if _is_taken(model, parsed):
                found.setdefault(field, []).append(body)
    return found


def _as_described(text: str, schema: Schema) -> Any:
    return int(text) if schema.get("type") == "integer" and text.isdecimal() else text


def _is_taken(model: type[BaseModel], parsed: Any) -> bool:
    try:
        model.model_validate(parsed)
    except ValidationError:
        return False
    return True


async def answers(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """What the service answers to some of these bodies, by the names of its schemas."""
    found: dict[str, list[str]] = {}
    for entry in CATALOG:
        for bodies in taken(f"{entry.title}Create").values():
            for body in random.Random(1).sample(bodies, min(len(bodies), 25)):
                valid = await entry.valid_body(client)
                sent = body
                for example, own in EXAMPLES_OF_KEYS.items():
                    sent = sent.replace(f'"{example}"', json.dumps(valid.get(own)))
                answer = await client.post(entry.path, content=sent, headers=HEADERS)
                name = f"{entry.title}Read" if answer.status_code == 201 else "Problem"
                found.setdefault(name, []).append(answer.text)
        for query in ("", "?count=exact", "?count=estimated&limit=3"):
            answer = await client.get(f"{entry.path}{query}")
            found.setdefault(f"{entry.title}Page", []).append(answer.text)
    return found
