"""What is wrong with a request is told by code and place, and its values are not repeated."""

import json
from typing import Any, get_args

import httpx
import pytest

from app.errors import FaultCode
from tests.api.cases import SECRET, UNKNOWN
from tests.factories import account_body, create_account, item_body
from tests.responses import assert_problem, places

BODIES: list[tuple[str, Any, dict[str, str]]] = [
    ("/accounts", {}, {"/email": "required", "/username": "required"}),
    ("/accounts", account_body(nickname=SECRET), {"/nickname": "unknown"}),
    ("/accounts", account_body(id=UNKNOWN), {"/id": "read_only"}),
    ("/accounts", account_body(email=None), {"/email": "null_not_allowed"}),
    ("/accounts", account_body(email=7), {"/email": "wrong_type"}),
    ("/accounts", account_body(username=[SECRET]), {"/username": "wrong_type"}),
    ("/accounts", account_body(email=SECRET), {"/email": "invalid_format"}),
    ("/accounts", account_body(username=" "), {"/username": "too_short"}),
    ("/accounts", account_body(username=SECRET * 20), {"/username": "too_long"}),
    ("/accounts", account_body(dob="1899-12-31"), {"/dob": "too_small"}),
    ("/accounts", account_body(dob="9999-12-31"), {"/dob": "too_large"}),
    ("/accounts", account_body(dob=0), {"/dob": "wrong_type"}),
    ("/accounts", account_body(**{"a/b~": 1, "": 2}), {"/a~1b~0": "unknown", "/": "unknown"}),
    ("/accounts", [SECRET], {"": "wrong_type"}),
    ("/accounts", None, {"": "null_not_allowed"}),
    ("/items", item_body(UNKNOWN, price=-1), {"/price": "too_small"}),
    ("/items", item_body(UNKNOWN, price="1e3"), {"/price": "invalid_format"}),
    ("/items", item_body(SECRET), {"/account_id": "invalid_format"}),
    ("/items", item_body(UNKNOWN, description="x" * 10_001), {"/description": "too_long"}),
]


class TestBodies:
    @pytest.mark.parametrize(("path", "body", "faults"), BODIES)
    async def test_faults(
        self, client: httpx.AsyncClient, path: str, body: Any, faults: dict[str, str]
    ) -> None:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(path, content=json.dumps(body), headers=headers)
        assert_problem(answer, 422, "invalid_request", faults)
        assert SECRET not in answer.text

    async def test_null_where_a_change_allows_none(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        body = {"email": None, "username": None, "version": None, "dob": None}
        answer = await client.patch(f"/accounts/{account['id']}", json=body)
        names = ("email", "username", "version")
        faults = {f"/{name}": "null_not_allowed" for name in names}
        assert_problem(answer, 422, "invalid_request", faults)

    async def test_a_value_that_was_none_is_told_by_what_was_wrong_with_it(
        self, client: httpx.AsyncClient
    ) -> None:
        text = r'{"email": "\ud800", "username": 1e400, "dob": 1, "dob": 1, "x": 1e400}'
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/accounts", content=text, headers=headers)
        faults = {"/email": "invalid_format", "/username": "too_large", "/dob": "duplicate"}
        assert_problem(answer, 422, "invalid_request", {**faults, "/x": "unknown"})


class TestParameters:
    @pytest.mark.parametrize(
        ("target", "faults"),
        [
            ("/accounts?limit=0", {"?limit": "too_small"}),
            ("/accounts?limit=201", {"?limit": "too_large"}),
            ("/accounts?limit=1e3", {"?limit": "wrong_type"}),
            (f"/accounts?sort={SECRET}", {"?sort": "invalid_format"}),
            ("/accounts?username=", {"?username": "too_short"}),
            ("/accounts?" + "country=JO&" * 51, {"?country": "too_long"}),
            (f"/accounts?country=JO&country={SECRET}", {"?country": "invalid_format"}),
            ("/accounts/nobody", {"?account_id": "invalid_format"}),
            ("/items/nothing", {"?item_id": "invalid_format"}),
        ],
    )
    async def test_faults(
        self, client: httpx.AsyncClient, target: str, faults: dict[str, str]
    ) -> None:
        answer = await client.get(target)
        assert_problem(answer, 422, "invalid_request", faults)
        assert SECRET not in answer.text


async def test_details_are_sentences_about_the_limit(client: httpx.AsyncClient) -> None:
    body = account_body(username="x" * 101, email="x" * 255, country="nowhere")
    answer = await client.post("/accounts?limit=0", json=body)
    details = {fault.get("pointer", "limit"): fault["detail"] for fault in answer.json()["errors"]}
    assert details["/username"] == "Must have at most 100 characters."
    assert details["/email"] == "Must have at most 254 characters."
    assert details["limit"] == "No such parameter."
    answer = await client.get("/accounts?limit=0&" + "country=JO&" * 51)
    details = {fault["parameter"]: fault["detail"] for fault in answer.json()["errors"]}
    assert details == {"limit": "Must be at least 1.", "country": "Must have at most 50 values."}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("count=EXACT", "Must be 'none', 'exact' or 'estimated'."),
        ("dob_gte=1900-02-29", "The day must be from 01 to 28 in this month."),
        ("created_lt=2026-02-30T00:00:00Z", "The day must be from 01 to 28 in this month."),
        ("created_lt=2026-02-01T24:00:00Z", "The time must be from 00:00:00 to 23:59:60."),
        ("cursor=x&limit=x", "Must be a whole number."),
        ("limit=1.5", "Must be a whole number."),
    ],
)
async def test_details_say_what_is_allowed(
    client: httpx.AsyncClient, query: str, detail: str
) -> None:
    answer = await client.get(f"/accounts?{query}")
    assert detail in [fault["detail"] for fault in answer.json()["errors"]]


async def test_a_sort_is_told_which_there_are(client: httpx.AsyncClient) -> None:
    (fault,) = (await client.get(f"/items/{UNKNOWN}/wished-by?sort=x")).json()["errors"]
    assert fault["detail"] == "Must be 'created' or '-created'."


async def test_an_id_is_told_what_ids_look_like(client: httpx.AsyncClient) -> None:
    for path in (f"/accounts/{'-' * 36}", "/items/5"):
        (fault,) = (await client.get(path)).json()["errors"]
        detail = "Must be a UUID of 36 characters, such as 01890a5d-ac96-774b-bcce-b302099a8057."
        assert fault["detail"] == detail


def test_the_codes_are_those_of_the_contract() -> None:
    codes = "required unknown duplicate wrong_type invalid_format too_short too_long too_small"
    codes += " too_large null_not_allowed read_only not_unique not_found"
    assert set(codes.split()) <= set(get_args(FaultCode))


async def test_a_reference_to_nothing_points_at_its_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/items", json=item_body(UNKNOWN))
    assert places(answer) == {"/account_id": "not_found"}
