"""Links over HTTP: what each request answers, and what it leaves behind."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.api.cases import UNKNOWN
from tests.factories import create_account, create_item


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def pair(client: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """An account, and an item that another account owns."""
    return await create_account(client), await create_item(client)


async def put(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.put(path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    link: dict[str, Any] = answer.json()
    return link


async def own_answer(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.get(path)).json()


class TestRetrieveFavorite:
    async def test_answers_the_item_as_its_own_address_does(
        self, client: httpx.AsyncClient
    ) -> None:
        account, item = await pair(client)
        made = await put(client, f"/accounts/{account['id']}/favorite", item_id=item["id"])
        changes = {"description": "Brass, ü, 𝄞", "price": "7.50"}
        await client.patch(f"/items/{item['id']}", json=changes)
        answer = await client.get(f"/accounts/{account['id']}/favorite")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.json() == {
            "item": await own_answer(client, f"/items/{item['id']}"),
            "created": made["created"],
        }
        assert answer.json()["item"]["version"] == 2

    async def test_absent_is_not_found(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        answer = await client.get(f"/accounts/{account['id']}/favorite")
        assert problem(answer) == (404, "not_found")
        assert answer.json()["detail"] == "This account has no favorite."

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/accounts/{UNKNOWN}/favorite")
        assert problem(answer) == (404, "account_not_found")

    async def test_is_one_statement(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        account, item = await pair(client)
        await put(client, f"/accounts/{account['id']}/favorite", item_id=item["id"])
        statements.clear()
        await client.get(f"/accounts/{account['id']}/favorite")
        assert len(statements) == 1


class TestPutFavorite:
    async def test_the_first_is_201(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/favorite"
        answer = await client.put(path, json={"item_id": item["id"]})
        assert answer.status_code == 201
        assert list(answer.json()) == ["item", "created"]
        assert answer.json() == await own_answer(client, path)
        assert answer.json()["item"] == item

    async def test_the_same_again_is_200_and_keeps_created(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path, body = f"/accounts/{account['id']}/favorite", {"item_id": item["id"]}
        made = (await client.put(path, json=body)).json()
        answer = await client.put(path, json=body)
        assert answer.status_code == 200
        assert answer.json() == made

    async def test_another_item_is_200_and_replaces_it_and_keeps_created(
        self, client: httpx.AsyncClient
    ) -> None:
        account, item = await pair(client)
        other = await create_item(client)
        path = f"/accounts/{account['id']}/favorite"
        made = await put(client, path, item_id=item["id"])
        answer = await client.put(path, json={"item_id": other["id"]})
        assert answer.status_code == 200
        assert answer.json() == {"item": other, "created": made["created"]}
        assert await own_answer(client, path) == answer.json()
        favored = await own_answer(client, f"/items/{item['id']}/favorited-by")
        assert favored["data"] == []

    async def test_an_item_may_be_the_favorite_of_many(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        for _ in range(2):
            account = await create_account(client)
            answer = await client.put(
                f"/accounts/{account['id']}/favorite", json={"item_id": item["id"]}
            )
            assert answer.status_code == 201

    async def test_ones_own_item_is_as_good(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        item = await create_item(client, account["id"])
        made = await put(client, f"/accounts/{account['id']}/favorite", item_id=item["id"])
        assert made["item"] == item

    async def test_an_unknown_item_is_422_and_pointed_at(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        path = f"/accounts/{account['id']}/favorite"
        answer = await client.put(path, json={"item_id": UNKNOWN})
        assert problem(answer) == (422, "item_not_found")
        assert answer.json()["errors"] == [
            {"pointer": "/item_id", "code": "not_found", "detail": "No item has this id."}
        ]
        assert problem(await client.get(path)) == (404, "not_found")

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        answer = await client.put(f"/accounts/{UNKNOWN}/favorite", json={"item_id": item["id"]})
        assert problem(answer) == (404, "account_not_found")

    async def test_with_both_ends_unknown_the_body_speaks_first(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.put(f"/accounts/{UNKNOWN}/favorite", json={"item_id": UNKNOWN})
        assert problem(answer) == (422, "item_not_found")

    async def test_is_one_statement(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        account, item = await pair(client)
        for _ in range(2):
            statements.clear()
            await put(client, f"/accounts/{account['id']}/favorite", item_id=item["id"])
            assert len(statements) == 1


class TestDeleteFavorite:
    async def test_answers_204_then_404(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/favorite"
        await put(client, path, item_id=item["id"])
        statements.clear()
        answer = await client.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert len(statements) == 1
        assert problem(await client.delete(path)) == (404, "not_found")

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        answer = await client.delete(f"/accounts/{UNKNOWN}/favorite")
        assert problem(answer) == (404, "account_not_found")

    async def test_then_the_next_one_is_new(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/favorite"
        made = await put(client, path, item_id=item["id"])
        await client.delete(path)
        answer = await client.put(path, json={"item_id": item["id"]})
        assert answer.status_code == 201
        assert answer.json()["created"] > made["created"]


class TestRetrieveReservation:
    async def test_answers_the_item_as_its_own_address_does(
        self, client: httpx.AsyncClient
    ) -> None:
        account, item = await pair(client)
        made = await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        await client.patch(f"/items/{item['id']}", json={"name": "Renamed"})
        answer = await client.get(f"/accounts/{account['id']}/reservation")
        assert answer.status_code == 200
        assert answer.json() == {
            "item": await own_answer(client, f"/items/{item['id']}"),
            "created": made["created"],
        }

    async def test_absent_is_not_found(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        answer = await client.get(f"/accounts/{account['id']}/reservation")
        assert problem(answer) == (404, "not_found")
        assert answer.json()["detail"] == "This account holds no reservation."

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/accounts/{UNKNOWN}/reservation")
        assert problem(answer) == (404, "account_not_found")

    async def test_is_one_statement(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        account, item = await pair(client)
        await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        statements.clear()
        await client.get(f"/accounts/{account['id']}/reservation")
        assert len(statements) == 1


class TestRetrieveItemReservation:
    async def test_answers_the_account_as_its_own_address_does(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        account, item = await pair(client)
        made = await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        await client.patch(f"/accounts/{account['id']}", json={"country": "Jordan"})
        statements.clear()
        answer = await client.get(f"/items/{item['id']}/reservation")
        assert answer.status_code == 200
        assert len(statements) == 1
        assert list(answer.json()) == ["account", "created"]
        assert answer.json() == {
            "account": await own_answer(client, f"/accounts/{account['id']}"),
            "created": made["created"],
        }

    async def test_absent_is_not_found(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        answer = await client.get(f"/items/{item['id']}/reservation")
        assert problem(answer) == (404, "not_found")
        assert answer.json()["detail"] == "This item is not reserved."

    async def test_of_an_unknown_item(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/items/{UNKNOWN}/reservation")
        assert problem(answer) == (404, "item_not_found")


class TestPutReservation:
    async def test_a_new_one_is_201(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/reservation"
        answer = await client.put(path, json={"item_id": item["id"]})
        assert answer.status_code == 201
        assert list(answer.json()) == ["item", "created"]
        assert answer.json() == await own_answer(client, path)
        assert answer.json()["item"] == item

    async def test_the_same_again_is_200_and_keeps_created(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path, body = f"/accounts/{account['id']}/reservation", {"item_id": item["id"]}
        made = (await client.put(path, json=body)).json()
        answer = await client.put(path, json=body)
        assert answer.status_code == 200
        assert answer.json() == made

    async def test_another_item_while_one_is_held(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        other = await create_item(client)
        path = f"/accounts/{account['id']}/reservation"
        made = await put(client, path, item_id=item["id"])
        answer = await client.put(path, json={"item_id": other["id"]})
        assert problem(answer) == (409, "account_has_reservation")
        assert await own_answer(client, path) == made
        free = await client.get(f"/items/{other['id']}/reservation")
        assert problem(free) == (404, "not_found")

    async def test_an_item_that_another_account_holds(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        other = await create_account(client)
        await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        answer = await client.put(
            f"/accounts/{other['id']}/reservation", json={"item_id": item["id"]}
        )
        assert problem(answer) == (409, "item_already_reserved")
        held = await own_answer(client, f"/items/{item['id']}/reservation")
        assert held["account"]["id"] == account["id"]

    async def test_that_must_be_new_comes_before_an_item_that_another_holds(
        self, client: httpx.AsyncClient
    ) -> None:
        account, item = await pair(client)
        holder = await create_account(client)
        await put(client, f"/accounts/{holder['id']}/reservation", item_id=item["id"])
        path, body = f"/accounts/{account['id']}/reservation", {"item_id": item["id"]}
        headers = {"If-None-Match": "*"}
        answer = await client.put(path, json=body, headers=headers)
        assert problem(answer) == (409, "item_already_reserved")
        await put(client, path, item_id=(await create_item(client))["id"])
        answer = await client.put(path, json=body, headers=headers)
        assert problem(answer) == (412, "stale_version")

    async def test_both_at_once_tells_of_the_account(self, client: httpx.AsyncClient) -> None:
        first, second = await pair(client), await pair(client)
        for account, item in (first, second):
            await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        answer = await client.put(
            f"/accounts/{first[0]['id']}/reservation", json={"item_id": second[1]["id"]}
        )
        assert problem(answer) == (409, "account_has_reservation")

    async def test_an_unknown_item_is_422_and_pointed_at(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/reservation"
        answer = await client.put(path, json={"item_id": UNKNOWN})
        assert problem(answer) == (422, "item_not_found")
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/item_id"]
        # Also where the account holds another one: 422 comes before 409.
        await put(client, path, item_id=item["id"])
        answer = await client.put(path, json={"item_id": UNKNOWN})
        assert problem(answer) == (422, "item_not_found")

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client)
        path = f"/accounts/{UNKNOWN}/reservation"
        answer = await client.put(path, json={"item_id": item["id"]})
        assert problem(answer) == (404, "account_not_found")

    async def test_with_both_ends_unknown_the_body_speaks_first(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.put(f"/accounts/{UNKNOWN}/reservation", json={"item_id": UNKNOWN})
        assert problem(answer) == (422, "item_not_found")

    async def test_is_one_statement(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        account, item = await pair(client)
        for _ in range(2):
            statements.clear()
            await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
            assert len(statements) == 1


class TestDeleteReservation:
    async def test_answers_204_then_404(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/reservation"
        await put(client, path, item_id=item["id"])
        statements.clear()
        answer = await client.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert len(statements) == 1
        assert problem(await client.delete(path)) == (404, "not_found")

    async def test_of_an_unknown_account(self, client: httpx.AsyncClient) -> None:
        answer = await client.delete(f"/accounts/{UNKNOWN}/reservation")
        assert problem(answer) == (404, "account_not_found")

    async def test_frees_the_account_and_the_item(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        other, other_item = await pair(client)
        await put(client, f"/accounts/{account['id']}/reservation", item_id=item["id"])
        await client.delete(f"/accounts/{account['id']}/reservation")
        for holder, held in ((account, other_item), (other, item)):
            answer = await client.put(
                f"/accounts/{holder['id']}/reservation", json={"item_id": held["id"]}
            )
            assert answer.status_code == 201


class TestRetrieveWish:
    async def test_answers_the_item_as_its_own_address_does(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        made = await put(client, path, note="For the hall, ü 𝄞")
        await client.patch(f"/items/{item['id']}", json={"name": "Renamed"})
        statements.clear()
        answer = await client.get(path)
        assert answer.status_code == 200
        assert len(statements) == 1
        assert answer.json() == {
            "item": await own_answer(client, f"/items/{item['id']}"),
            "note": "For the hall, ü 𝄞",
            "created": made["created"],
        }

    async def test_absent_is_not_found(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        answer = await client.get(f"/accounts/{account['id']}/wishes/{item['id']}")
        assert problem(answer) == (404, "not_found")
        assert answer.json()["detail"] == "This account does not wish for this item."

    async def test_of_unknown_ends(self, client: httpx.AsyncClient) -> None:
        await check_unknown_ends_of_a_wish(client, "GET")


async def check_unknown_ends_of_a_wish(client: httpx.AsyncClient, method: str) -> None:
    account, item = await pair(client)
    body: dict[str, str] | None = {} if method == "PUT" else None
    for owner, wished, code in (
        (UNKNOWN, item["id"], "account_not_found"),
        (account["id"], UNKNOWN, "item_not_found"),
        (UNKNOWN, UNKNOWN, "account_not_found"),
    ):
        answer = await client.request(method, f"/accounts/{owner}/wishes/{wished}", json=body)
        assert problem(answer) == (404, code)
        assert answer.json()["errors"] == []


class TestPutWish:
    async def test_a_new_one_is_201(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        answer = await client.put(path, json={"note": "For the hall"})
        assert answer.status_code == 201
        assert list(answer.json()) == ["item", "note", "created"]
        assert answer.json() == await own_answer(client, path)
        assert answer.json()["item"] == item

    @pytest.mark.parametrize(
        ("body", "note"),
        [({"note": "Another"}, "Another"), ({"note": None}, None), ({}, None)],
        ids=["replaced", "null", "absent"],
    )
    async def test_again_is_200_and_replaces_the_note_and_keeps_created(
        self, client: httpx.AsyncClient, body: dict[str, Any], note: str | None
    ) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        made = await put(client, path, note="For the hall")
        answer = await client.put(path, json=body)
        assert answer.status_code == 200
        assert answer.json() == {**made, "note": note}
        assert await own_answer(client, path) == answer.json()

    async def test_an_absent_note_is_null(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        made = await put(client, f"/accounts/{account['id']}/wishes/{item['id']}")
        assert made["note"] is None

    async def test_the_length_of_a_note(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        for note in ("x" * 1000, "", "𝄞" * 1000):
            assert (await put(client, path, note=note))["note"] == note
        answer = await client.put(path, json={"note": "x" * 1001})
        assert problem(answer) == (422, "invalid_request")
        faults = [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]
        assert faults == [("/note", "too_long")]

    async def test_a_note_is_text(self, client: httpx.AsyncClient) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        for note in (1, True, ["x"], {"x": "y"}):
            answer = await client.put(path, json={"note": note})
            assert answer.json()["errors"] == [
                {"pointer": "/note", "code": "wrong_type", "detail": "Must be text."}
            ]

    async def test_many_to_many(self, client: httpx.AsyncClient) -> None:
        first, second = await pair(client), await pair(client)
        for account, _ in (first, second):
            for _, item in (first, second):
                answer = await client.put(f"/accounts/{account['id']}/wishes/{item['id']}", json={})
                assert answer.status_code == 201

    async def test_of_unknown_ends(self, client: httpx.AsyncClient) -> None:
        await check_unknown_ends_of_a_wish(client, "PUT")

    async def test_a_fault_of_the_body_comes_before_unknown_ends(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.put(f"/accounts/{UNKNOWN}/wishes/{UNKNOWN}", json={"item_id": "x"})
        assert problem(answer) == (422, "invalid_request")

    async def test_is_one_statement(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        account, item = await pair(client)
        for _ in range(2):
            statements.clear()
            await put(client, f"/accounts/{account['id']}/wishes/{item['id']}", note="x")
            assert len(statements) == 1


class TestDeleteWish:
    async def test_answers_204_then_404(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        account, item = await pair(client)
        other = await create_item(client)
        for wished in (item, other):
            await put(client, f"/accounts/{account['id']}/wishes/{wished['id']}")
        path = f"/accounts/{account['id']}/wishes/{item['id']}"
        statements.clear()
        answer = await client.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert len(statements) == 1
        assert problem(await client.delete(path)) == (404, "not_found")
        left = await own_answer(client, f"/accounts/{account['id']}/wishes")
        assert [wish["item"]["id"] for wish in left["data"]] == [other["id"]]

    async def test_of_unknown_ends(self, client: httpx.AsyncClient) -> None:
        await check_unknown_ends_of_a_wish(client, "DELETE")


# Every way to put a link, with a body that is right.
PUTS = {
    "favorite": ("/accounts/{account}/favorite", {"item_id": "{item}"}),
    "reservation": ("/accounts/{account}/reservation", {"item_id": "{item}"}),
    "wish": ("/accounts/{account}/wishes/{item}", {"note": "x"}),
}


def link_of(
    relation: str, account: dict[str, Any], item: dict[str, Any]
) -> tuple[str, dict[str, str]]:
    ends = {"account": account["id"], "item": item["id"]}
    path, body = PUTS[relation]
    return path.format(**ends), {name: value.format(**ends) for name, value in body.items()}


@pytest.mark.parametrize("relation", PUTS)
class TestEveryLink:
    async def test_takes_json_only(self, client: httpx.AsyncClient, relation: str) -> None:
        path, body = link_of(relation, *await pair(client))
        content = json.dumps(body)
        for content_type in (
            "application/merge-patch+json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/problem+json",
        ):
            headers = {"Content-Type": content_type}
            answer = await client.put(path, content=content, headers=headers)
            assert problem(answer) == (415, "unsupported_media_type")
            assert answer.json()["detail"] == "This operation takes application/json."
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert (await client.put(path, content=content, headers=headers)).status_code == 201

    async def test_takes_no_body_without_a_type(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        path, _ = link_of(relation, *await pair(client))
        answer = await client.put(path, content=b"{}", headers={})
        assert problem(answer) == (415, "unsupported_media_type")
        assert problem(await client.put(path)) == (400, "malformed_body")

    async def test_refuses_what_it_does_not_know(
        self, client: httpx.AsyncClient, connection: AsyncConnection, relation: str
    ) -> None:
        path, body = link_of(relation, *await pair(client))
        # A link has no id, version or time of change.
        more = {"price": 1, "created": "now", "id": 1, "updated": "now", "version": 1}
        answer = await client.put(path + "?x=1", json={**body, **more})
        assert problem(answer) == (422, "invalid_request")
        assert sorted(
            (fault.get("parameter") or fault["pointer"], fault["code"])
            for fault in answer.json()["errors"]
        ) == [
            ("/created", "read_only"),
            *((f"/{name}", "unknown") for name in ("id", "price", "updated", "version")),
            ("x", "unknown"),
        ]
        assert await links_left(connection) == 0

    async def test_malformed_json(self, client: httpx.AsyncClient, relation: str) -> None:
        path, _ = link_of(relation, *await pair(client))
        headers = {"Content-Type": "application/json"}
        for content in (b"", b"{", b'{"item_id": NaN}', b"\xff"):
            answer = await client.put(path, content=content, headers=headers)
            assert problem(answer) == (400, "malformed_body")
        for content in (b"null", b"[]", b'"x"', b"1"):  # well-formed, but no object
            answer = await client.put(path, content=content, headers=headers)
            assert problem(answer) == (422, "invalid_request")

    async def test_a_malformed_id_in_the_path(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        path, body = link_of(relation, {"id": "1"}, await create_item(client))
        for method in ("GET", "PUT", "DELETE"):
            answer = await client.request(method, path, json=body if method == "PUT" else None)
            assert problem(answer) == (422, "invalid_request")
            assert [fault["parameter"] for fault in answer.json()["errors"]] == ["account_id"]

    async def test_has_no_etag_and_ignores_conditions(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        path, body = link_of(relation, *await pair(client))
        for status in (201, 200):
            headers = {"If-Match": '"99"', "If-None-Match": '"1"', "Idempotency-Key": "x" * 256}
            answer = await client.put(path, json=body, headers=headers)
            assert answer.status_code == status
            assert "etag" not in answer.headers
        answer = await client.get(path, headers={"If-None-Match": "*", "If-Match": '"99"'})
        assert answer.status_code == 200
        assert "etag" not in answer.headers
        answer = await client.delete(path, headers={"If-Match": "not even well-formed"})
        assert answer.status_code == 204

    async def test_is_made_but_not_replaced_where_it_must_be_new(
        self, client: httpx.AsyncClient, statements: list[str], relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        other = await create_item(client)
        others = {"item_id": other["id"]} if "item_id" in body else {"note": "other"}
        headers = {"If-None-Match": "*"}
        assert (await client.put(path, json=body, headers=headers)).status_code == 201
        made = await own_answer(client, path)
        for content in (body, others):
            statements.clear()
            answer = await client.put(path, json=content, headers=headers)
            assert problem(answer) == (412, "stale_version")
            assert "etag" not in answer.headers
            assert len(statements) == 1
        assert await own_answer(client, path) == made

    async def test_is_not_deleted_where_it_must_be_absent(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        headers = {"If-None-Match": "*"}
        answer = await client.delete(path, headers=headers)
        assert problem(answer) == (404, "not_found")
        made = await put(client, path, **body)
        answer = await client.delete(path, headers=headers)
        assert problem(answer) == (412, "stale_version")
        assert "etag" not in answer.headers
        assert await own_answer(client, path) == made
        assert (await client.delete(path, headers={"If-None-Match": '"1"'})).status_code == 204

    async def test_that_must_be_absent_has_its_other_problems_too(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        headers = {"If-None-Match": "*"}
        nobody, _ = link_of(relation, {"id": UNKNOWN}, item)
        for answer in (
            await client.put(nobody, json=body, headers=headers),
            await client.delete(nobody, headers=headers),
        ):
            assert problem(answer) == (404, "account_not_found")
        await put(client, path, **body)
        gone, unknown = link_of(relation, account, {"id": UNKNOWN})
        answer = await client.put(gone, json=unknown, headers=headers)
        assert problem(answer) == (422 if "item_id" in body else 404, "item_not_found")
        for method, content in (("PUT", body), ("DELETE", None)):
            headers = {"If-None-Match": "malformed"}
            answer = await client.request(method, path, json=content, headers=headers)
            assert problem(answer) == (400, "malformed_header")

    async def test_never_changes_its_ends(self, client: httpx.AsyncClient, relation: str) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        for method, content in (("PUT", body), ("PUT", body), ("GET", None), ("DELETE", None)):
            answer = await client.request(method, path, json=content)
            assert answer.is_success
            assert await own_answer(client, f"/accounts/{account['id']}") == account
            assert await own_answer(client, f"/items/{item['id']}") == item

    async def test_head_mirrors_get(self, client: httpx.AsyncClient, relation: str) -> None:
        path, body = link_of(relation, *await pair(client))
        await client.put(path, json=body)
        answer, head = await client.get(path), await client.head(path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == str(len(answer.content))

    async def test_survives_a_change_of_its_ends(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        await client.put(path, json=body)
        await client.patch(f"/accounts/{account['id']}", json={"username": "Other"})
        await client.patch(f"/items/{item['id']}", json={"account_id": account["id"]})
        assert (await client.get(path)).json()["item"]["account_id"] == account["id"]

    async def test_goes_with_its_item(self, client: httpx.AsyncClient, relation: str) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        await client.put(path, json=body)
        assert (await client.delete(f"/items/{item['id']}")).status_code == 204
        code = "item_not_found" if relation == "wish" else "not_found"
        assert problem(await client.get(path)) == (404, code)
        assert (await client.get(f"/accounts/{account['id']}")).status_code == 200

    async def test_goes_with_its_account(
        self, client: httpx.AsyncClient, connection: AsyncConnection, relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        await client.put(path, json=body)
        assert (await client.delete(f"/accounts/{account['id']}")).status_code == 204
        assert problem(await client.get(path)) == (404, "account_not_found")
        assert (await client.get(f"/items/{item['id']}")).json() == item
        assert await links_left(connection) == 0

    async def test_goes_with_the_items_of_a_deleted_account(
        self, client: httpx.AsyncClient, connection: AsyncConnection, relation: str
    ) -> None:
        account, item = await pair(client)
        path, body = link_of(relation, account, item)
        await client.put(path, json=body)
        owner = f"/accounts/{item['account_id']}"
        assert problem(await client.delete(owner)) == (409, "account_has_items")
        assert (await client.get(path)).status_code == 200
        assert (await client.delete(owner + "?cascade=true")).status_code == 204
        assert (await client.get(path)).status_code == 404
        assert await links_left(connection) == 0

    async def test_goes_with_an_account_linked_to_an_item_of_its_own(
        self, client: httpx.AsyncClient, connection: AsyncConnection, relation: str
    ) -> None:
        account = await create_account(client)
        item = await create_item(client, account["id"])
        path, body = link_of(relation, account, item)
        await client.put(path, json=body)
        answer = await client.delete(f"/accounts/{account['id']}?cascade=true")
        assert answer.status_code == 204
        assert await links_left(connection) == 0


async def links_left(connection: AsyncConnection) -> int:
    tables = ("favorites", "reservations", "wishes")
    counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return int(await connection.scalar(text(f"SELECT {counts}")) or 0)


@pytest.mark.parametrize("relation", ["favorite", "reservation"])
class TestEveryItemId:
    async def test_a_body_that_names_no_item(
        self, client: httpx.AsyncClient, relation: str
    ) -> None:
        account = await create_account(client)
        for body, code in (
            ({}, "required"),
            ({"item_id": None}, "null_not_allowed"),
            ({"item_id": 1}, "wrong_type"),
            ({"item_id": "1"}, "invalid_format"),
            ({"item_id": UNKNOWN.replace("-", "")}, "invalid_format"),
            ({"item_id": "g" * 36}, "invalid_format"),
            ({"item_id": "-" * 36}, "invalid_format"),
        ):
            answer = await client.put(f"/accounts/{account['id']}/{relation}", json=body)
            assert problem(answer) == (422, "invalid_request")
            faults = [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]
            assert faults == [("/item_id", code)]

    async def test_in_any_case(self, client: httpx.AsyncClient, relation: str) -> None:
        account, item = await pair(client)
        path = f"/accounts/{account['id'].upper()}/{relation}"
        answer = await client.put(path, json={"item_id": item["id"].upper()})
        assert answer.status_code == 201
        assert answer.json()["item"] == item


@pytest.mark.slow
class TestAtOnce:
    """Equal requests at once, on connections of their own."""

    @pytest.mark.parametrize("relation", PUTS)
    async def test_one_makes_the_link_and_the_others_find_it(
        self, patient_client: httpx.AsyncClient, relation: str
    ) -> None:
        for _ in range(10):
            path, body = link_of(relation, *await pair(patient_client))
            puts = [patient_client.put(path, json=body) for _ in range(10)]
            answers = await asyncio.gather(*puts)
            assert sorted(answer.status_code for answer in answers) == [*[200] * 9, 201]
            assert len({answer.text for answer in answers}) == 1
            deletes = [patient_client.delete(path) for _ in range(5)]
            answers = await asyncio.gather(*deletes)
            assert sorted(answer.status_code for answer in answers) == [204, *[404] * 4]
