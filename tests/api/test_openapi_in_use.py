"""What the document offers works: its examples are accepted, and its links lead on."""

import re
from copy import deepcopy
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.openapi.links import add_links
from app.resources.fields import EXAMPLE_ID
from tests.api.cases import MULTIPART, sent_as
from tests.applications import document
from tests.catalog import CATALOG, Entry, List, every_list, every_resource, rows_of

OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
}
BODIES = [
    (name, media_type)
    for name, (_, _, operation) in OPERATIONS.items()
    for media_type in operation.get("requestBody", {"content": {}})["content"]
]


@pytest.mark.parametrize(("name", "media_type"), BODIES)
async def test_the_example_of_a_body_is_accepted(
    client: httpx.AsyncClient, name: str, media_type: str
) -> None:
    ids = {entry.id_name: (await entry.create(client))["id"] for entry in CATALOG}
    method, path, operation = OPERATIONS[name]
    example = operation["requestBody"]["content"][media_type]["example"]
    assert example
    if isinstance(example, str):  # a file, whose only ids are those of parents
        for entry in CATALOG:
            for field, parent in entry.parents().items():
                if path.startswith(f"{entry.path}:"):
                    example = example.replace(EXAMPLE_ID, ids[parent.id_name])
                    assert field in example
        headers = {"Content-Type": media_type}
        answer = await client.request(method, path, content=example, headers=headers)
        assert answer.json()["created"] == 1, answer.text
        return
    body = {field: ids.get(field, value) for field, value in example.items()}
    if "data" in body:
        (own,) = (ids[entry.id_name] for entry in CATALOG if path.startswith(f"{entry.path}:"))
        (row,) = body["data"]
        body["data"] = [
            {field: own if field == "id" else ids.get(field, value) for field, value in row.items()}
        ]
    sent = sent_as(MULTIPART if "multipart" in media_type else media_type, body)
    answer = await client.request(method, path.format(**ids), **sent)
    assert answer.is_success, answer.text


async def follow(
    client: httpx.AsyncClient, link: dict[str, Any], answer: httpx.Response, request: dict[str, str]
) -> httpx.Response:
    """The answer to the request that a link describes.

    request: the values of the parameters of the path of the request before.
    """
    method, path, operation = OPERATIONS[link["operationId"]]
    given = {"$response.body#/": answer.json(), "$request.path.": request}
    values: dict[str, str] = {
        name: part[expression.removeprefix(place)]
        for name, expression in link["parameters"].items()
        for place, part in given.items()
        if expression.startswith(place)
    }
    assert values.keys() == link["parameters"].keys()
    inside = set(re.findall(r"\{(\w+)\}", path))
    query = {name: value for name, value in values.items() if name not in inside}
    known = {one["name"] for one in operation["parameters"] if one.get("in") == "query"}
    assert query.keys() <= known
    query |= {name: value for name, value in answer.request.url.params.items() if name != "cursor"}
    return await client.request(method, path.format(**values), params=query)


@every_resource
async def test_the_link_of_a_new_resource_leads_to_it(
    client: httpx.AsyncClient, entry: Entry
) -> None:
    answer = await client.post(entry.path, json=await entry.valid_body(client))
    _, _, operation = OPERATIONS[f"create_{entry.name}"]
    found = await follow(client, operation["responses"]["201"]["links"]["resource"], answer, {})
    assert (found.status_code, found.content) == (200, answer.content)
    assert found.request.url.path == answer.headers["location"]


@every_resource
def test_a_resource_that_cannot_be_retrieved_has_no_link(entry: Entry) -> None:
    create = deepcopy(document()["paths"][entry.path]["post"])
    del create["responses"]["201"]["links"]
    paths = {entry.path: {"post": create}, f"{entry.path}/{{id}}": {"put": create}}
    add_links(paths)
    assert "links" not in create["responses"]["201"]


@every_list
async def test_the_default_of_a_sort_is_the_described_one(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> None:
    path, _, rows = rows_of(each, await entry.insert(connection, [{}] * 3))
    assert len(rows) > 1
    [sort] = (
        one
        for one in document()["paths"][each.path]["get"]["parameters"]
        if one.get("name") == "sort"
    )
    [described] = re.findall(r"The default is `(\S+)`", sort["description"])
    answers = {
        value: (await client.get(path, params={"sort": value} if value else {})).json()["data"]
        for value in (None, *sort["schema"]["enum"])
    }
    assert answers[None] == answers[described]
    opposite = described.removeprefix("-") if described.startswith("-") else f"-{described}"
    assert answers[None] == answers[opposite][::-1] != answers[opposite]


@every_list
async def test_the_link_of_a_page_leads_to_the_next(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> None:
    path, parent, rows = rows_of(each, await entry.insert(connection, [{}] * 6))
    (name,) = (
        name for name, (method, of, _) in OPERATIONS.items() if (method, of) == ("GET", each.path)
    )
    link = OPERATIONS[name][2]["responses"]["200"]["links"]["next_page"]
    request = {parent_name: str(parent) for parent_name in re.findall(r"\{(\w+)\}", each.path)}
    answer = await client.get(path, params={"limit": 1, "sort": "created"})
    seen = [answer.json()["data"][0]["id"]]
    while answer.json()["next_cursor"]:
        next_one = answer.headers["link"].partition(">")[0].removeprefix("<")
        answer = await follow(client, link, answer, request)
        assert answer.content == (await client.get(next_one)).content
        seen.append(answer.json()["data"][0]["id"])
    assert sorted(seen) == sorted(row["id"] for row in rows)
