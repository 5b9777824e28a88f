"""What every resource promises over HTTP, whatever its fields are."""

import json
from uuid import uuid4

import httpx
import pytest

from tests.api.cases import FORM, JSON, MERGE_PATCH, MULTIPART, sent_as
from tests.catalog import Entry, Row, every_resource
from tests.responses import assert_problem, without

SYSTEM_FIELDS = ("id", "created", "updated", "version")
LONG_AGO = "2001-01-01T00:00:00+14:00"
both_updates = pytest.mark.parametrize("method", ["PUT", "PATCH"])
media_types = pytest.mark.parametrize("media_type", [JSON, FORM, MULTIPART])


def without_blanks(row: Row) -> Row:
    """Forms write null as an empty text."""
    return {name: None if value == "" else value for name, value in row.items()}


@pytest.fixture
async def row(entry: Entry, client: httpx.AsyncClient) -> Row:
    return await entry.create(client)


@pytest.fixture
def url(entry: Entry, row: Row) -> str:
    return f"{entry.path}/{row['id']}"


@every_resource
class TestList:
    async def test_is_newest_first_and_has_no_etag(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = [await entry.create(client) for _ in range(3)]
        answer = await client.get(entry.path)
        assert answer.status_code == 200
        assert answer.json() == {"data": rows[::-1], "next_cursor": None, "count": None}
        assert answer.headers["cache-control"] == "private, no-cache"
        assert not {"etag", "link"} & answer.headers.keys()

    async def test_is_walked_by_link_and_by_cursor(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = [await entry.create(client) for _ in range(5)]
        by_link, by_cursor, query = [], [], {"limit": "2"}
        url = f"{entry.path}?limit=2"
        for _ in range(3):
            assert url
            answer = await client.get(url)
            by_link += answer.json()["data"]
            url = answer.links.get("next", {}).get("url", "")
            assert bool(url) == (answer.json()["next_cursor"] is not None)
            page = (await client.get(entry.path, params=query)).json()
            by_cursor += page["data"]
            query["cursor"] = page["next_cursor"]
        assert not url
        assert by_link == by_cursor == rows[::-1]

    async def test_a_last_page_that_is_full_has_no_next(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for _ in range(2):
            await entry.create(client)
        answer = await client.get(f"{entry.path}?limit=2")
        assert (len(answer.json()["data"]), answer.json()["next_cursor"]) == (2, None)

    async def test_takes_limits_from_1_to_200(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for query in ("limit=1", "limit=200"):
            assert (await client.get(f"{entry.path}?{query}")).status_code == 200
        refused = {
            "limit=0": "too_small",
            "limit=-1": "too_small",
            "limit=201": "too_large",
            "limit=": "wrong_type",
            "limit=1.0": "wrong_type",
            "limit=ten": "wrong_type",
            "limit=1&limit=1": "duplicate",
            "offset=1": "unknown",
        }
        for query, code in refused.items():
            answer = await client.get(f"{entry.path}?{query}")
            assert_problem(answer, 422, "invalid_request", {f"?{query.partition('=')[0]}": code})


@every_resource
class TestCreate:
    @media_types
    async def test_answers_201_with_location_etag_and_the_row(
        self, client: httpx.AsyncClient, entry: Entry, media_type: str
    ) -> None:
        body = without_blanks(await entry.valid_body(client))
        answer = await client.post(entry.path, **sent_as(media_type, body))
        assert answer.status_code == 201, answer.text
        row = answer.json()
        assert answer.headers["location"] == f"{entry.path}/{row['id']}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert list(row) == list(entry.resource.names)
        given = {
            **body,
            **({} if media_type == JSON else {k: None for k, v in body.items() if v == ""}),
        }
        assert without(row, *SYSTEM_FIELDS) == given
        assert row["created"] == row["updated"]
        assert len(row["created"]) == len("2026-01-31T09:30:00.000000Z")
        assert (row["version"], row["id"][14], row["created"][-1]) == (1, "7", "Z")
        assert (await client.get(answer.headers["location"])).json() == row

    async def test_refuses_bad_values_and_stores_nothing(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        for name, (value, code) in entry.bad.items():
            answer = await client.post(entry.path, json={**body, name: value})
            assert_problem(answer, 422, "invalid_request", {f"/{name}": code})
        assert (await client.get(entry.path)).json()["data"] == []

    @media_types
    async def test_tells_all_faults_together(
        self, client: httpx.AsyncClient, entry: Entry, media_type: str
    ) -> None:
        codes = {name: code for name, (_, code) in entry.bad.items()}
        bad = {name: value for name, (value, _) in entry.bad.items() if value != ""}
        body = {**bad, "x": "x", "id": "x"}
        missing = dict.fromkeys(entry.bad.keys() - bad.keys(), "required")
        answer = await client.post(f"{entry.path}?y=1", **sent_as(media_type, body))
        faults = {f"/{name}": code for name, code in {**codes, **missing}.items()}
        faults |= {"/x": "unknown", "/id": "read_only", "?y": "unknown"}
        assert_problem(answer, 422, "invalid_request", faults)

    async def test_system_fields_are_read_only(
        self, client: httpx.AsyncClient, entry: Entry, row: Row
    ) -> None:
        body = await entry.valid_body(client)
        for name in SYSTEM_FIELDS:
            answer = await client.post(entry.path, json={**body, name: row[name]})
            assert_problem(answer, 422, "invalid_request", {f"/{name}": "read_only"})

    async def test_a_reference_must_be_there(self, client: httpx.AsyncClient, entry: Entry) -> None:
        for name, parent in entry.parents().items():
            body = await entry.valid_body(client)
            answer = await client.post(entry.path, json={**body, name: str(uuid4())})
            assert_problem(answer, 422, parent.not_found, {f"/{name}": "not_found"})
        assert (await client.get(entry.path)).json()["data"] == []


@every_resource
class TestRetrieve:
    async def test_answers_the_row_with_its_etag(
        self, client: httpx.AsyncClient, entry: Entry, row: Row
    ) -> None:
        for row_id in (row["id"], row["id"].upper()):
            answer = await client.get(f"{entry.path}/{row_id}")
            assert (answer.status_code, answer.json()) == (200, row)
            assert answer.headers["etag"] == '"1"'
            assert answer.headers["cache-control"] == "private, no-cache"

    async def test_head_answers_the_headers_of_get(
        self, client: httpx.AsyncClient, entry: Entry, url: str
    ) -> None:
        got, head = await client.get(url), await client.head(url)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "content-type", "content-length", "cache-control"):
            assert head.headers[name] == got.headers[name]

    async def test_404_for_an_unknown_id(self, client: httpx.AsyncClient, entry: Entry) -> None:
        answer = await client.get(f"{entry.path}/{uuid4()}")
        assert_problem(answer, 404, entry.not_found, {})
        assert "etag" not in answer.headers

    async def test_422_for_a_malformed_id(self, client: httpx.AsyncClient, entry: Entry) -> None:
        body = await entry.valid_body(client)
        for row_id in ("1", "x" * 36, "-" * 36, "%00", uuid4().hex):
            url = f"{entry.path}/{row_id}"
            for answer in (
                await client.get(url),
                await client.put(url, json=body),
                await client.patch(url, json={}),
                await client.delete(url),
            ):
                faults = {f"?{entry.id_name}": "invalid_format"}
                assert_problem(answer, 422, "invalid_request", faults)


@every_resource
@both_updates
class TestReplaceAndChange:
    """What PUT and PATCH have in common."""

    async def test_read_modify_write(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        body = {**row, **entry.changes}
        answer = await client.request(method, url, json=body)
        assert answer.status_code == 200, answer.text
        changed = answer.json()
        assert list(changed) == list(entry.resource.names)
        assert without(changed, "updated") == {**without(body, "updated"), "version": 2}
        assert changed["updated"] > row["updated"]
        assert answer.headers["etag"] == '"2"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert (await client.get(url)).json() == changed
        # The version of the body is stale by then.
        for headers in ({}, {"If-Match": '"2"'}):
            answer = await client.request(method, url, json=body, headers=headers)
            assert_problem(answer, 412, "stale_version", {})
            assert answer.headers["etag"] == '"2"'
        assert (await client.get(url)).json() == changed

    async def test_created_and_updated_of_the_body_are_ignored(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        for value in (LONG_AGO, "", "yesterday", None, 0, -1.5, True, [], ["x"], {"x": {"y": 1}}):
            body = {**row, "created": value, "updated": value}
            assert (await client.request(method, url, json=body)).json() == row
        if method == "PUT":
            for media_type in (FORM, MULTIPART):
                body = without({**row, "created": "", "updated": "yesterday"}, "version")
                answer = await client.put(url, **sent_as(media_type, body))
                assert (answer.status_code, answer.json()["created"]) == (200, row["created"])

    async def test_created_and_updated_are_ignored_even_if_they_are_no_values(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        text = json.dumps(without(row, "created", "updated"))
        text = text[:-1] + r', "created": 1, "created": 1, "updated": "\u0000"}'
        headers = {"Content-Type": "application/json"}
        answer = await client.request(method, url, content=text, headers=headers)
        assert (answer.status_code, answer.json()) == (200, row)

    async def test_no_real_change_leaves_version_and_updated_alone(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        for body in (row, without(row, *SYSTEM_FIELDS)):
            answer = await client.request(method, url, json=body)
            assert (answer.status_code, answer.json()) == (200, row)
            assert answer.headers["etag"] == '"1"'

    async def test_the_id_of_another_is_refused(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        other = await entry.create(client)
        body = {**row, **entry.changes, "id": other["id"]}
        answer = await client.request(method, url, json=body)
        assert_problem(answer, 422, "invalid_request", {"/id": "read_only"})
        assert (await client.get(url)).json() == row

    async def test_refuses_bad_values_and_changes_nothing(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        valid = {**without(row, *SYSTEM_FIELDS), **entry.changes}
        for name, (value, code) in entry.bad.items():
            answer = await client.request(method, url, json={**valid, name: value})
            assert_problem(answer, 422, "invalid_request", {f"/{name}": code})
        assert (await client.get(url)).json() == row

    async def test_a_reference_must_be_there(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        for name, parent in entry.parents().items():
            body = {**row, name: str(uuid4())}
            # It is told before a stale version, and before an id that is not there.
            for target, version in ((url, 1), (url, 7), (f"{entry.path}/{uuid4()}", 1)):
                sent = {**without(body, "id"), "version": version}
                answer = await client.request(method, target, json=sent)
                assert_problem(answer, 422, parent.not_found, {f"/{name}": "not_found"})
        assert (await client.get(url)).json() == row

    async def test_moves_to_another_parent(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row, url: str
    ) -> None:
        kept = entry.kept_parents()
        for name, parent in entry.parents().items():
            other = (await parent.create(client))["id"]
            answer = await client.request(method, url, json={**row, name: other})
            assert answer.status_code == 200, answer.text
            before, row = row, answer.json()
            assert without(row, "updated") == {
                **without(before, "updated"),
                name: other,
                "version": before["version"] + 1,
            }
            assert (await client.get(url)).json() == row
            # The one can be deleted now, the other cannot.
            if name in kept:
                assert (await client.delete(f"{parent.path}/{before[name]}")).status_code == 204
                assert (await client.delete(f"{parent.path}/{other}")).status_code == 409


@every_resource
class TestReplace:
    @media_types
    async def test_takes_back_what_get_gave(
        self, client: httpx.AsyncClient, entry: Entry, row: Row, url: str, media_type: str
    ) -> None:
        row = (await client.patch(url, json=without_blanks(row))).json()
        answer = await client.put(url, **sent_as(media_type, row))
        assert (answer.status_code, answer.json()) == (200, row)
        changed = {**row, **entry.changes}
        answer = await client.put(url, **sent_as(media_type, changed))
        assert without(answer.json(), "updated", "version") == without(
            changed, "updated", "version"
        )
        assert_problem(await client.put(url, **sent_as(media_type, changed)), 412, "stale_version")


@every_resource
class TestChange:
    @pytest.mark.parametrize("media_type", [MERGE_PATCH, JSON, "Application/JSON; charset=utf-8"])
    async def test_what_is_absent_stays(
        self, client: httpx.AsyncClient, entry: Entry, row: Row, url: str, media_type: str
    ) -> None:
        for number, (name, value) in enumerate(entry.changes.items(), 2):
            answer = await client.patch(url, **sent_as(media_type, {name: value}))
            assert answer.status_code == 200, answer.text
            row |= {name: value, "version": number}
            assert without(answer.json(), "updated") == without(row, "updated")

    async def test_an_empty_patch_changes_nothing(
        self, client: httpx.AsyncClient, entry: Entry, row: Row, url: str
    ) -> None:
        assert (await client.patch(url, json={})).json() == row

    async def test_takes_nothing_but_an_object(
        self, client: httpx.AsyncClient, entry: Entry, url: str
    ) -> None:
        for content in (b"[]", b'"text"', b"5", b"5.5", b"5e5", b"null", b"true"):
            headers = {"Content-Type": JSON}
            answer = await client.patch(url, content=content, headers=headers)
            code = "null_not_allowed" if content == b"null" else "wrong_type"
            assert_problem(answer, 422, "invalid_request", {"": code})


@every_resource
class TestDelete:
    async def test_204_then_404(
        self, client: httpx.AsyncClient, entry: Entry, row: Row, url: str
    ) -> None:
        answer = await client.delete(url)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers
        for method in ("DELETE", "GET"):
            assert_problem(await client.request(method, url), 404, entry.not_found, {})
        for name, parent in entry.parents().items():
            assert (await client.get(f"{parent.path}/{row[name]}")).status_code == 200

    async def test_refuses_parameters_that_it_does_not_know(
        self, client: httpx.AsyncClient, entry: Entry, row: Row, url: str
    ) -> None:
        answer = await client.delete(f"{url}?force=true")
        assert_problem(answer, 422, "invalid_request", {"?force": "unknown"})
        assert (await client.get(url)).json() == row

    async def test_a_row_that_others_refer_to_stays(
        self, client: httpx.AsyncClient, entry: Entry, row: Row
    ) -> None:
        for name, parent in entry.kept_parents().items():
            parent_url = f"{parent.path}/{row[name]}"
            answer = await client.delete(parent_url)
            assert answer.status_code == 409
            assert (await client.get(parent_url)).status_code == 200
