"""Spellings that the document does not have, but libraries of clients send, are taken too."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.routes import StrictRoute
from app.main import create_app
from tests.api.cases import UNKNOWN
from tests.applications import client_of, document, make_settings
from tests.catalog import Entry, List, entry_of, every_list, rows_of
from tests.responses import assert_problem, code_of

PATHS = document()["paths"]
OFFSETS = ["+00:00", "+0000", "+00", "-0000", "-00"]
FLAGS = {True: ["true", "True", "TRUE", "1"], False: ["false", "False", "FALSE", "0"]}


def parameters_of(operation: Any, **schema: str) -> Iterator[str]:
    """The parameters of the query whose schema has these values."""
    for one in operation.get("parameters", ()):
        if one.get("in") == "query" and schema.items() <= one["schema"].items():
            yield one["name"]


@every_list
class TestLists:
    """A spelling changes nothing: neither the rows, nor the cursor, nor the address of the next."""

    async def answers(
        self, client: httpx.AsyncClient, path: str, queries: list[str]
    ) -> list[tuple[Any, str | None]]:
        answers = [await client.get(f"{path}?limit=1&{query}") for query in queries]
        assert {answer.status_code for answer in answers} == {200}
        return [(answer.json(), answer.headers.get("link")) for answer in answers]

    async def test_a_parameter_that_may_be_repeated_may_have_brackets(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
    ) -> None:
        path, _, rows = rows_of(each, await entry.insert(connection, [{}] * 40))
        for name in parameters_of(PATHS[each.path]["get"], type="array"):
            first, second = sorted({row[name] for row in rows if row[name]})[:2]
            plain, *others = await self.answers(
                client,
                path,
                [
                    f"{name}={first}&{name}={second}",
                    f"{name}[]={first}&{name}[]={second}",
                    f"{name}%5B%5D={first}&{name}%5b%5d={second}",
                    f"{name}[]={first}&{name}={second}",
                    f"{name}={first}&{name}[%5D={second}",
                ],
            )
            assert plain[0]["next_cursor"]
            assert others == [plain] * len(others)

    async def test_no_other_parameter_may(
        self, client: httpx.AsyncClient, entry: Entry, each: List
    ) -> None:
        operation = PATHS[each.path]["get"]
        path = re.sub(r"\{\w+\}", UNKNOWN, each.path)
        names = set(parameters_of(operation)) - set(parameters_of(operation, type="array"))
        assert names
        for name in names:
            answer = await client.get(f"{path}?{name}[]=1")
            assert_problem(answer, 422, "invalid_request", {f"?{name}[]": "unknown"})

    async def test_an_offset_needs_no_colon_and_no_minutes(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
    ) -> None:
        path, _, _ = rows_of(each, await entry.insert(connection, [{}] * 4))
        names = list(parameters_of(PATHS[each.path]["get"], format="date-time"))
        assert names
        for name in names:
            instant = "2000-01-01T00:00:00" if name.endswith("gte") else "2100-01-01T00:00:00"
            queries = [f"{name}={instant}{offset}".replace("+", "%2B") for offset in OFFSETS]
            plain, *others = await self.answers(client, path, queries)
            assert plain[0]["next_cursor"]
            assert [page for page, _ in others] == [plain[0]] * len(others)


BOOLEANS = [
    (method, path, name)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
    for name in parameters_of(operation, type="boolean")
]


BY_EXAMPLE = {"account_not_found", "item_not_found", "email_taken", "import_rejected"}


def names_of(operation: dict[str, Any]) -> set[str]:
    return {one.get("name") for one in operation["parameters"]}


class TestBooleans:
    @pytest.mark.parametrize(("method", "path", "name"), BOOLEANS)
    async def test_are_taken_as_words_and_digits(
        self, client: httpx.AsyncClient, method: str, path: str, name: str
    ) -> None:
        operation = PATHS[path][method]
        content = operation.get("requestBody", {}).get("content", {})
        sent: dict[str, Any] = {}
        for media_type in list(content)[:1]:
            example = content[media_type]["example"]
            sent["content"] = example if isinstance(example, str) else json.dumps(example)
            sent["headers"] = {"Content-Type": media_type}
        # What some of them only mean something for.
        beside = {"format": "csv"} if "format" in names_of(operation) else {}
        path = re.sub(r"\{\w+\}", UNKNOWN, path)
        for value in (*FLAGS[True], *FLAGS[False]):
            query = {name: value, **beside}
            answer = await client.request(method, path, params=query, **sent)
            # No row has the ids of the example, and the second account would have its email.
            assert answer.is_success or code_of(answer, answer.status_code) in BY_EXAMPLE, value
        for value in ("", "2", "00", "+1", "yes", "no", "on", "off", "t", "f", "y", "n", "null"):
            query = {name: value, **beside}
            answer = await client.request(method, path, params=query, **sent)
            assert_problem(answer, 422, "invalid_request", {f"?{name}": "wrong_type"})

    async def test_mean_what_they_say(self, client: httpx.AsyncClient) -> None:
        for flag, status in ((False, 409), (True, 204)):
            for value in FLAGS[flag]:
                item = await entry_of("/items").create(client)
                answer = await client.delete(f"/accounts/{item['account_id']}?cascade={value}")
                assert answer.status_code == status, value


class Paints(BaseModel):
    color: list[str] = []


async def get_layers(layer: Annotated[list[int], Query()]) -> list[int]:
    return layer


router = APIRouter(route_class=StrictRoute)


@router.get("/paints")
async def find_paints(
    paints: Annotated[Paints, Query()],
    layers: Annotated[list[int], Depends(get_layers)],
    user_agent: Annotated[str, Header()],
) -> list[Any]:
    return [paints.color, layers]


@pytest.mark.parametrize("included", [True, False])
async def test_brackets_are_taken_where_fastapi_reads_the_query(included: bool) -> None:
    application = create_app(make_settings())
    if included:
        application.include_router(router)
    else:
        application.router.routes.extend(router.routes)
    async with client_of(application) as client:
        answer = await client.get("/paints?color[]=red&layer%5B%5D=1&color=blue&layer=2")
    assert answer.json() == [["red", "blue"], [1, 2]]
