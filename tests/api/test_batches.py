"""Batches of every resource: many rows in one request, all or none of them."""

import json
import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.api import requests
from app.api.bodies import json_text
from app.config import Settings
from tests.api.batching import (
    SYSTEM_FIELDS,
    at_rows,
    create,
    send,
    stored,
    total,
    valid_bodies,
)
from tests.api.cases import FORM, JSON, MULTIPART, UNKNOWN
from tests.applications import client_of, make_settings
from tests.catalog import Entry, every_resource
from tests.responses import assert_problem, places, without

KEY = {"Idempotency-Key": "one batch"}
writes = pytest.mark.parametrize("verb", ["Create", "Update", "Delete"])


@pytest.fixture
def versions_required(app: FastAPI) -> None:
    app.state.settings = make_settings(require_if_match=True)


@every_resource
class TestGet:
    async def test_answers_rows_in_the_order_asked_and_the_ids_of_none(
        self, client: httpx.AsyncClient, entry: Entry, statements: list[str]
    ) -> None:
        rows = await create(client, entry, 3)
        statements.clear()
        ids = [rows[2]["id"], UNKNOWN, rows[0]["id"], rows[2]["id"].upper(), UNKNOWN]
        for name in ("id", "id[]"):
            answer = await client.get(f"{entry.path}:batchGet", params={name: ids})
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"data": [rows[2], rows[0]], "missing": [UNKNOWN]}
            assert answer.headers["cache-control"] == "private, no-cache"
            assert "etag" not in answer.headers
        head = await client.head(f"{entry.path}:batchGet", params={"id": ids})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]

    async def test_is_one_statement(
        self, client: httpx.AsyncClient, entry: Entry, app: FastAPI, statements: list[str]
    ) -> None:
        rows = await create(client, entry, 20)
        statements.clear()
        assert await stored(client, entry, rows) == rows
        # Each statement runs twice where the test compares both ways of running it, and so does
        # each request.
        assert len({*statements}) == 1

    async def test_takes_1_to_200_ids(self, client: httpx.AsyncClient, entry: Entry) -> None:
        path = f"{entry.path}:batchGet"
        ids = [str(uuid4()) for _ in range(200)]
        answer = await client.get(path, params={"id": ids})
        assert answer.json() == {"data": [], "missing": ids}
        refused: list[tuple[dict[str, Any], dict[str, str]]] = [
            ({}, {"?id": "required"}),
            ({"id": [*ids, ids[0]]}, {"?id": "too_long"}),
            ({"id": [ids[0], "1"]}, {"?id": "invalid_format"}),
            ({"id": ids[0], "x": "1"}, {"?x": "unknown"}),
            ({"id": ids[0], "validate_only": "1"}, {"?validate_only": "unknown"}),
        ]
        for query, faults in refused:
            answer = await client.get(path, params=query)
            assert_problem(answer, 422, "invalid_request", faults)


@every_resource
class TestCreate:
    async def test_answers_the_rows_in_the_order_sent(
        self, client: httpx.AsyncClient, entry: Entry, statements: list[str]
    ) -> None:
        sent = await valid_bodies(client, entry, 30)
        statements.clear()
        answer = await send(client, entry, "Create", sent)
        assert answer.status_code == 201, answer.text
        assert len(statements) == 1
        rows = answer.json()["data"]
        assert [without(row, *SYSTEM_FIELDS) for row in rows] == sent
        assert answer.headers["cache-control"] == "private, no-cache"
        assert not {"etag", "location"} & answer.headers.keys()
        for row in rows[:3]:
            assert (await client.get(f"{entry.path}/{row['id']}")).json() == row
        # So they are in their order in lists too.
        assert sorted(row["id"] for row in rows) == [row["id"] for row in rows]
        assert {(row["created"] == row["updated"], row["version"]) for row in rows} == {(True, 1)}

    async def test_tells_all_faults_of_all_rows_together_and_stores_nothing(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        sent = await valid_bodies(client, entry, 4)
        bad = {name: value for name, (value, _) in entry.bad.items()}
        codes = {f"/{name}": code for name, (_, code) in entry.bad.items()}
        sent[1] = bad
        sent[3] = {**bad, "x": 1, "id": UNKNOWN}
        before = await total(client, entry)
        answer = await send(client, entry, "Create", sent, y="1")
        faults = at_rows(codes, 1, 3) | {"/data/3/x": "unknown", "/data/3/id": "read_only"}
        assert_problem(answer, 422, "invalid_request", faults | {"?y": "unknown"})
        assert await total(client, entry) == before

    async def test_a_value_that_is_none_is_a_fault_of_its_row(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        text = entry.free_text
        marks = {r'"\u0000"': "invalid_format", "1e999": "too_large", '"a", "%s": "b"': "duplicate"}
        for value, code in marks.items():
            body = without(await entry.valid_body(client), text)
            row = json.dumps(body)[:-1] + f', "{text}": {value.replace("%s", text)}}}'
            content = f'{{"data": [{json.dumps(body)}, {row}]}}'
            headers = {"Content-Type": JSON}
            answer = await client.post(
                f"{entry.path}:batchCreate", content=content, headers=headers
            )
            assert answer.status_code == 422, answer.text
            assert places(answer)[f"/data/1/{text}"] == code

    async def test_unknown_references_are_told_at_their_rows_after_all_other_faults(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for name, parent in entry.parents().items():
            sent = await valid_bodies(client, entry, 4)
            sent[1][name], sent[3][name] = str(uuid4()), str(uuid4())
            before = await total(client, entry)
            answer = await send(client, entry, "Create", sent)
            faults = at_rows({f"/{name}": "not_found"}, 1, 3)
            assert_problem(answer, 422, parent.not_found, faults)
            sent[0]["x"] = 1
            answer = await send(client, entry, "Create", sent)
            assert_problem(answer, 422, "invalid_request", {"/data/0/x": "unknown"})
            assert await total(client, entry) == before


@every_resource
class TestUpdate:
    async def test_answers_the_rows_in_the_order_sent(
        self, client: httpx.AsyncClient, entry: Entry, statements: list[str]
    ) -> None:
        rows = await create(client, entry, 8)
        statements.clear()
        *_, (last, value) = entry.changes.items()
        sent = [
            {"id": rows[5]["id"], last: value},
            {"id": rows[0]["id"], "version": 1, **entry.changes},
            {**rows[3], **entry.changes, "created": "ignored", "updated": 7},
            rows[1],  # has its values already
            {"id": rows[2]["id"]},
        ]
        answer = await send(client, entry, "Update", sent)
        assert answer.status_code == 200, answer.text
        assert len(statements) == 2  # one locks the rows, one writes
        assert not {"etag", "location"} & answer.headers.keys()
        changed = answer.json()["data"]
        expected = [
            {**rows[5], last: value, "version": 2},
            {**rows[0], **entry.changes, "version": 2},
            {**rows[3], **entry.changes, "version": 2},
            rows[1],
            rows[2],
        ]
        assert [without(row, "updated") for row in changed] == [
            without(row, "updated") for row in expected
        ]
        assert [row["updated"] for row in changed[3:]] == [row["updated"] for row in expected[3:]]
        before = {row["id"]: row["updated"] for row in rows}
        assert all(row["updated"] > before[row["id"]] for row in changed[:3])
        assert await stored(client, entry, sent) == changed
        untouched = [rows[number] for number in (4, 6, 7)]
        assert await stored(client, entry, untouched) == untouched

    async def test_null_clears(self, client: httpx.AsyncClient, entry: Entry) -> None:
        row, other = await create(client, entry, 2)
        for name in entry.nullable & row.keys() - {*SYSTEM_FIELDS}:
            sent = [{"id": row["id"], name: None}, {"id": other["id"]}]
            changed, same = (await send(client, entry, "Update", sent)).json()["data"]
            assert (changed[name], same[name]) == (None, other[name])

    async def test_tells_all_faults_of_all_rows_together(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = await create(client, entry, 3)
        bad = {name: value for name, (value, _) in entry.bad.items()}
        codes = {f"/{name}": code for name, (_, code) in entry.bad.items()}
        sent = [
            {"id": rows[0]["id"], **entry.changes},
            {"id": rows[1]["id"], **bad},
            {"id": "1", "version": 0, "x": 1},
            entry.changes,
            [],
        ]
        faults = at_rows(codes, 1) | at_rows({"/version": "too_small", "/x": "unknown"}, 2)
        faults |= {"/data/2/id": "invalid_format", "/data/3/id": "required"}
        answer = await send(client, entry, "Update", sent)
        assert_problem(answer, 422, "invalid_request", faults | {"/data/4": "wrong_type"})
        assert await stored(client, entry, rows) == rows

    async def test_unknown_references_are_told_before_problems_of_rows(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for name, parent in entry.parents().items():
            rows = await create(client, entry, 3)
            sent = [{"id": row["id"], **entry.changes} for row in rows]
            sent[1][name], sent[2][name] = str(uuid4()), str(uuid4())
            for more in ({}, {"version": 7}, {"id": UNKNOWN}):
                sent[0] |= more
                answer = await send(client, entry, "Update", sent)
                faults = at_rows({f"/{name}": "not_found"}, 1, 2)
                assert_problem(answer, 422, parent.not_found, faults)
            assert await stored(client, entry, rows) == rows


@every_resource
class TestDelete:
    async def test_answers_204_and_then_404_at_each_row(
        self, client: httpx.AsyncClient, entry: Entry, statements: list[str]
    ) -> None:
        rows = await create(client, entry, 8)
        sent = [{"id": row["id"]} for row in rows[:6]]
        sent[3]["version"] = 1
        statements.clear()
        answer = await send(client, entry, "Delete", sent)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers
        assert len(statements) == 2  # one locks the rows, one deletes
        assert await stored(client, entry, rows) == rows[6:]
        sent[3] = {"id": rows[7]["id"]}
        answer = await send(client, entry, "Delete", sent)
        unknown = at_rows({"/id": "not_found"}, 0, 1, 2, 4, 5)
        assert_problem(answer, 404, entry.not_found, unknown)
        assert await stored(client, entry, rows) == rows[6:]

    async def test_takes_ids_and_versions_alone(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        row, other = await create(client, entry, 2)
        sent = [{"id": row["id"]}, {"id": other["id"], **entry.changes}, {"version": 1}]
        faults = at_rows(dict.fromkeys((f"/{name}" for name in entry.changes), "unknown"), 1)
        answer = await send(client, entry, "Delete", sent)
        assert_problem(answer, 422, "invalid_request", faults | {"/data/2/id": "required"})
        assert await stored(client, entry, [row, other]) == [row, other]

    async def test_rows_that_others_refer_to_stay(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for name, parent in entry.kept_parents().items():
            own = await create(client, parent, 4)
            kept = [await entry.create(client, **{name: own[n]["id"]}) for n in (1, 1, 3)]
            sent = [{"id": row["id"]} for row in own]
            answer = await send(client, parent, "Delete", sent)
            (code,) = {problem().code for problem in parent.resource.dependents.values()}
            assert_problem(answer, 409, code, at_rows({"/id": code}, 1, 3))
            assert await stored(client, parent, own) == own
            assert (await client.delete(f"{entry.path}/{kept[0]['id']}")).status_code == 204
            answer = await send(client, parent, "Delete", [sent[0], sent[2]])
            assert answer.status_code == 204


@every_resource
@pytest.mark.parametrize("verb", ["Update", "Delete"])
class TestRows:
    """What changes and deletions have in common."""

    def rows(self, entry: Entry, verb: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
        changes = entry.changes if verb == "Update" else {}
        return [{"id": row["id"], **changes} for row in rows]

    async def test_an_id_that_is_given_twice(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        row, other = await create(client, entry, 2)
        sent = self.rows(entry, verb, row, other, {"id": row["id"].upper()}, row)
        sent[1]["x"] = 1
        sent[3]["x"] = 1
        faults = at_rows({"/id": "duplicate"}, 2, 3) | at_rows({"/x": "unknown"}, 1, 3)
        answer = await send(client, entry, verb, sent)
        assert_problem(answer, 422, "invalid_request", faults)
        assert await stored(client, entry, [row, other]) == [row, other]

    async def test_the_order_of_problems(
        self, client: httpx.AsyncClient, entry: Entry, verb: str, versions_required: None
    ) -> None:
        """422 before 404 before 412 before 428, each at all rows that have it."""
        rows = await create(client, entry, 6)
        sent = self.rows(entry, verb, *rows)
        sent[0]["version"] = 1
        sent[2]["version"] = sent[4]["version"] = 7
        sent[1] = {**sent[1], "id": UNKNOWN}
        sent[3] = {**sent[3], "x": 1}
        expected: list[tuple[int, str, dict[str, str]]] = [
            (422, "invalid_request", {"/data/3/x": "unknown"}),
            (404, entry.not_found, {"/data/1/id": "not_found"}),
            (412, "stale_version", at_rows({"/version": "stale"}, 2, 4)),
            (428, "precondition_required", at_rows({"/version": "required"}, 1, 3, 5)),
        ]
        remedies = ((3, "x", None), (1, "id", rows[1]["id"]), (2, "version", 1))
        for position, (status, code, faults) in enumerate(expected):
            answer = await send(client, entry, verb, sent)
            assert_problem(answer, status, code, faults)
            assert "etag" not in answer.headers
            for number, name, value in remedies[position : position + 1]:
                sent[number][name] = value
                if value is None:
                    del sent[number][name]
            if position == 2:
                sent[4]["version"] = 1
        assert await stored(client, entry, rows) == rows
        for row in sent:
            row["version"] = 1
        assert (await send(client, entry, verb, sent)).is_success

    async def test_without_the_setting_versions_are_optional(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        rows = await create(client, entry, 2)
        sent = self.rows(entry, verb, *rows)
        sent[1]["version"] = 2
        answer = await send(client, entry, verb, sent)
        assert_problem(answer, 412, "stale_version", {"/data/1/version": "stale"})
        assert await stored(client, entry, rows) == rows
        del sent[1]["version"]
        assert (await send(client, entry, verb, sent)).is_success


@every_resource
@writes
class TestBody:
    async def test_is_an_object_with_1_to_1000_rows(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        row = {"id": UNKNOWN}
        refused: list[tuple[Any, dict[str, str]]] = [
            ([], {"": "wrong_type"}),
            ("text", {"": "wrong_type"}),
            (None, {"": "null_not_allowed"}),
            (5, {"": "wrong_type"}),
            ({}, {"/data": "required"}),
            ({"data": None}, {"/data": "null_not_allowed"}),
            ({"data": {}}, {"/data": "wrong_type"}),
            ({"data": row, "x": 1}, {"/data": "wrong_type", "/x": "unknown"}),
            ({"data": []}, {"/data": "too_short"}),
            ({"data": [row] * 1001}, {"/data": "too_long"}),
            ({"data": [{**row, "x": [[1] * 8] * 2}] * 2000}, {"/data": "too_long"}),
            ({"data": [{}] * 50_000}, {"/data": "too_long"}),
            (
                {"data": [None, 1, "x", []]},
                {"/data/0": "null_not_allowed"} | {f"/data/{n}": "wrong_type" for n in (1, 2, 3)},
            ),
        ]
        for body, faults in refused:
            path, headers = f"{entry.path}:batch{verb}", {"Content-Type": JSON}
            answer = await client.post(path, content=json.dumps(body), headers=headers)
            assert_problem(answer, 422, "invalid_request", faults)

    async def test_may_have_1000_faults(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        answer = await send(client, entry, verb, [1] * 1000)
        problem = assert_problem(answer, 422, "invalid_request")
        assert (len(problem["errors"]), "more_errors" in problem) == (1000, False)
        answer = await send(client, entry, verb, [{"x": 1, "y": 1}] * 1000)
        problem = assert_problem(answer, 422, "invalid_request")
        assert problem["more_errors"] >= 1000

    async def test_malformed(self, client: httpx.AsyncClient, entry: Entry, verb: str) -> None:
        deep = b"[" * 62 + b"]" * 62
        for content in (
            b"",
            b'{"data": [',
            b'{"data": [NaN]}',
            b"\xff",
            b'{"data": [{"x": ' + deep + b"}]}",
            b"[" * 100_000 + b"]" * 100_000,
            b'{"data": [{"x": [' + b"1," * 40_000 + b"1]}]}",
            b'{"data": [{"x": [' + b'"",' * 40_000 + b'""]}]}',
        ):
            headers = {"Content-Type": JSON}
            path = f"{entry.path}:batch{verb}"
            answer = await client.post(path, content=content, headers=headers)
            assert_problem(answer, 400, "malformed_body", {})

    async def test_may_be_64_levels_deep(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        deep: Any = []
        for _ in range(60):
            deep = [deep]
        answer = await send(client, entry, verb, [{"id": UNKNOWN, "x": deep}])
        assert answer.status_code == 422
        assert places(answer)["/data/0/x"] == "unknown"

    async def test_marks_in_texts_are_no_values(
        self, client: httpx.AsyncClient, entry: Entry, verb: str
    ) -> None:
        answer = await send(client, entry, verb, [{"id": UNKNOWN, "x": "[{," * 20_000}])
        assert answer.status_code == 422
        assert places(answer)["/data/0/x"] == "unknown"

    async def test_is_json_alone(self, client: httpx.AsyncClient, entry: Entry, verb: str) -> None:
        path = f"{entry.path}:batch{verb}"
        for media_type in (FORM, MULTIPART, "application/merge-patch+json", "text/plain", None):
            headers = {} if media_type is None else {"Content-Type": media_type}
            answer = await client.post(path, content=b'{"data": [{}]}', headers=headers)
            assert_problem(answer, 415, "unsupported_media_type", {})
        headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
        answer = await client.post(path, content=b"x", headers=headers)
        assert_problem(answer, 415, "unsupported_media_type", {})
        assert answer.headers["accept-encoding"] == "identity"

    async def test_other_methods(self, client: httpx.AsyncClient, entry: Entry, verb: str) -> None:
        path = f"{entry.path}:batch{verb}"
        answer = await client.get(path)
        assert_problem(answer, 405, "method_not_allowed", {})
        assert answer.headers["allow"] == "OPTIONS, POST"
        answer = await client.options(f"{entry.path}:batchGet")
        assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        for other in (f"{path}/", f"{entry.path}:batch", f"{path}s"):
            assert_problem(await client.post(other, json={}), 404, "not_found", {})


@every_resource
class TestSize:
    async def test_a_body_may_be_larger_than_that_of_one_row(
        self, client: httpx.AsyncClient, entry: Entry, app: FastAPI
    ) -> None:
        settings: Settings = app.state.settings
        assert (settings.max_body_size, settings.max_batch_body_size) == (2**20, 2**24)
        sent = {"data": await valid_bodies(client, entry, 1)}
        headers = {"Content-Type": JSON}
        path = f"{entry.path}:batchCreate"
        content = json.dumps(sent).encode()
        content += b" " * (settings.max_batch_body_size - len(content))
        answer = await client.post(path, content=content, headers=headers)
        assert answer.status_code == 201, answer.text
        answer = await client.post(path, content=content + b" ", headers=headers)
        assert_problem(answer, 413, "body_too_large", {})
        answer = await client.post(entry.path, content=content, headers=headers)
        assert_problem(answer, 413, "body_too_large", {})

    async def test_the_limit_is_a_setting(self, entry: Entry, app: FastAPI) -> None:
        app.state.settings = make_settings(max_batch_body_size=1024)
        async with client_of(app) as client:
            answer = await send(client, entry, "Create", ["x" * 1024])
            assert_problem(answer, 413, "body_too_large", {})
            answer = await send(client, entry, "Create", ["x" * 900])
            assert_problem(answer, 422, "invalid_request", {"/data/0": "wrong_type"})

    async def test_1000_rows_are_one_statement(
        self, client: httpx.AsyncClient, entry: Entry, statements: list[str]
    ) -> None:
        sent = await valid_bodies(client, entry, 1000)
        before = await total(client, entry)
        statements.clear()
        answer = await send(client, entry, "Create", sent)
        assert answer.status_code == 201, answer.text
        assert len(statements) == 1
        rows = answer.json()["data"]
        statements.clear()
        changes = [{"id": row["id"], **entry.changes} for row in rows]
        answer = await send(client, entry, "Update", changes)
        assert {row["version"] for row in answer.json()["data"]} == {2}
        assert len(statements) == 2
        statements.clear()
        answer = await send(client, entry, "Delete", [{"id": row["id"]} for row in rows])
        assert (answer.status_code, len(statements)) == (204, 2)
        assert await total(client, entry) == before

    @pytest.mark.parametrize("is_large", [False, True])
    async def test_a_large_body_is_parsed_off_the_loop(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        monkeypatch: pytest.MonkeyPatch,
        is_large: bool,
    ) -> None:
        threads: list[int] = []

        def parse(raw: bytes) -> Any:
            threads.append(threading.get_ident())
            return json_text.parse_batch(raw)

        monkeypatch.setattr(requests, "parse_batch", parse)
        content = b'{"data": []}'
        content += b" " * (requests.LARGE_BODY + is_large - len(content))
        headers = {"Content-Type": JSON}
        answer = await client.post(f"{entry.path}:batchCreate", content=content, headers=headers)
        assert_problem(answer, 422, "invalid_request", {"/data": "too_short"})
        assert threads
        assert (threading.get_ident() not in threads) is is_large


@every_resource
class TestIdempotency:
    def assert_replay(self, answer: httpx.Response, first: httpx.Response) -> None:
        assert answer.headers["idempotency-replayed"] == "true"
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        own = ("x-request-id", "idempotency-replayed")
        replayed, before = (
            {name: value for name, value in one.headers.items() if name not in own}
            for one in (answer, first)
        )
        assert replayed == before

    async def test_a_repeat_is_given_the_first_answer(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        sent = await valid_bodies(client, entry, 9)
        first = await send(client, entry, "Create", sent, KEY)
        assert first.status_code == 201, first.text
        plain = await send(client, entry, "Create", await valid_bodies(client, entry, 9))
        assert first.headers.keys() == plain.headers.keys()
        number = await total(client, entry)
        self.assert_replay(await send(client, entry, "Create", sent, KEY), first)
        rows = first.json()["data"]
        changes = [{"id": row["id"], **entry.changes} for row in rows]
        changed = await send(client, entry, "Update", changes, KEY)  # a path has keys of its own
        assert {row["version"] for row in changed.json()["data"]} == {2}
        self.assert_replay(await send(client, entry, "Update", changes, KEY), changed)
        assert await stored(client, entry, rows) == changed.json()["data"]
        ids = [{"id": row["id"]} for row in rows]
        deleted = await send(client, entry, "Delete", ids, KEY)
        assert deleted.status_code == 204
        self.assert_replay(await send(client, entry, "Delete", ids, KEY), deleted)
        assert await total(client, entry) == number - 9

    async def test_a_key_belongs_to_its_rows(self, client: httpx.AsyncClient, entry: Entry) -> None:
        sent = await valid_bodies(client, entry, 9)
        await send(client, entry, "Create", sent, KEY)
        name, value = next(iter(entry.changes.items()))
        others = [sent[:-1], sent[::-1], [*sent[:-1], {**sent[-1], name: value}]]
        for other in others:
            answer = await send(client, entry, "Create", other, KEY)
            assert_problem(
                answer, 422, "idempotency_key_reused", {"Idempotency-Key:": "not_unique"}
            )

    async def test_a_failure_stores_nothing(self, client: httpx.AsyncClient, entry: Entry) -> None:
        rows = await create(client, entry, 2)
        sent = [{"id": row["id"], "version": 2, **entry.changes} for row in rows]
        answer = await send(client, entry, "Update", sent, KEY)
        assert_problem(answer, 412, "stale_version")
        sent = [{**row, "version": 1} for row in sent]
        answer = await send(client, entry, "Update", sent, KEY)
        assert answer.status_code == 200
        assert "idempotency-replayed" not in answer.headers
