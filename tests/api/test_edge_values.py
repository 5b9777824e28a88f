"""Values at the edges of what the document allows are stored or refused, and never an error.

A constraint of the database that is stricter than the schema would be violated by one of them.
"""

from collections.abc import Iterator
from typing import Any

import httpx

from tests.applications import document
from tests.catalog import Entry, every_resource
from tests.json_schemas import alternatives

DATES = ("0001-01-01", "1899-12-31", "1900-01-01", "1969-12-31", "2000-02-29", "9999-12-31")


def edges(schema: dict[str, Any], valid: Any) -> Iterator[Any]:
    """The least and greatest values of a field's schema, and `valid` padded to its longest text."""
    for one in alternatives(document(), schema):
        yield from one.get("enum", ())
        yield from (one[limit] for limit in ("minimum", "maximum") if limit in one)
        for limit, step in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
            if limit in one:
                yield one[limit] + step * one.get("multipleOf", 1)
        if one.get("type") == "null":
            yield None
        elif one.get("type") == "boolean":
            yield from (False, True)
        elif one.get("type") == "array":
            yield from ([], [valid[0]] * one.get("maxItems", 1) if valid else [])
        elif one.get("format") == "date":
            yield from DATES
        elif one.get("type") == "string":
            yield from texts(one, valid if isinstance(valid, str) else "")


def texts(schema: dict[str, Any], valid: str) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 1000)
    for character in ("x", "X", "é", "-", "0", "9", "²", "٣", "\U0001f600"):
        yield from (character * least, character * most)
        yield valid + character * (most - len(valid))
        yield character * (most - len(valid)) + valid


def longest_text(schema: dict[str, Any]) -> int:
    lengths: list[int] = [one.get("maxLength", 0) for one in alternatives(document(), schema)]
    return max(lengths)


@every_resource
async def test_is_stored_or_refused(client: httpx.AsyncClient, entry: Entry) -> None:
    schema = document()["components"]["schemas"][f"{entry.title}Create"]
    own = f"{entry.path}/{(await entry.create(client))['id']}"
    body = await entry.valid_body(client)
    parents = {name: body[name] for name in entry.parents()}
    for name in schema["properties"].keys() - parents.keys():
        taken = []
        for value in edges(schema["properties"][name], body[name]):
            stored = []
            whole = {**await entry.valid_body(client, **parents), name: value}
            for method, url, sent in (("POST", entry.path, whole), ("PATCH", own, {name: value})):
                answer = await client.request(method, url, json=sent)
                shown = f"{method} with {name} = {value!a:.60}"
                assert answer.status_code in (200, 201, 409, 422), f"{shown}: {answer.text}"
                taken += [value] if answer.status_code == 201 else []
                stored += [answer.json()[name]] if answer.is_success else []
            if name in entry.texts:
                assert {*stored} <= {value, value and value.strip()}, (name, value)
            assert stored[1:] in ([], stored[:1]), f"POST and PATCH differ in {name} = {value!a}"
        if name in entry.texts:
            longest = max(len(value) for value in taken if value is not None)
            assert longest == longest_text(schema["properties"][name])
