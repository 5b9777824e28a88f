"""If-Match and If-None-Match: what they let through, of reads and of writes."""

import time
from typing import Any

import httpx
import pytest

from app.api.conditions import MAX_TAGS, _parse_tags
from app.config import Settings
from app.errors import MalformedHeader
from tests.api.cases import UNKNOWN
from tests.applications import make_settings
from tests.catalog import Entry, Row, every_resource
from tests.responses import assert_problem

MALFORMED = [
    "",
    "3",
    '"',
    '"1',
    '1"',
    "W/1",
    'w/"1"',
    '"1" "2"',
    '"1"x',
    ",",
    "*, *",
    '*, "1"',
    '"1 "',
    "\xa0*",
]
LONG_LIST = ",".join(f'"{number}"' for number in range(1, MAX_TAGS + 1))

malformed = pytest.mark.parametrize("tags", MALFORMED)


@pytest.fixture
async def row(entry: Entry, client: httpx.AsyncClient) -> Row:
    return await entry.create(client)


@pytest.fixture
def url(entry: Entry, row: Row) -> str:
    return f"{entry.path}/{row['id']}"


@every_resource
class TestIfNoneMatch:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        "tags",
        [
            '"1"',
            'W/"1"',
            "*",
            " * ",
            '"7", W/"1"',
            '"7","1"',
            ',,"7" ,\t"1",',
            '"x","1"',
            LONG_LIST,
        ],
    )
    async def test_the_current_version_is_not_sent_again(
        self, client: httpx.AsyncClient, entry: Entry, url: str, method: str, tags: str
    ) -> None:
        answer = await client.request(method, url, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == '"1"'

    @pytest.mark.parametrize(
        "tags", ['"2"', 'W/"2"', '"01"', '""', '"*"', 'W/"*"', '"10"', '"W/1"']
    )
    async def test_another_version_is_sent(
        self, client: httpx.AsyncClient, entry: Entry, url: str, row: Row, tags: str
    ) -> None:
        for method, sent in (("GET", True), ("HEAD", False)):
            answer = await client.request(method, url, headers={"If-None-Match": tags})
            assert (answer.status_code, bool(answer.content)) == (200, sent)
            assert answer.headers["etag"] == '"1"'
        assert (await client.get(url)).json() == row

    @malformed
    async def test_a_malformed_list_is_refused(
        self, client: httpx.AsyncClient, entry: Entry, url: str, tags: str
    ) -> None:
        answer = await client.get(url, headers=[(b"If-None-Match", tags.encode("latin-1"))])
        assert_problem(answer, 400, "malformed_header", {"If-None-Match:": "invalid_format"})

    async def test_several_lines_are_one_list(
        self, client: httpx.AsyncClient, entry: Entry, url: str
    ) -> None:
        lines = [("If-None-Match", '"7"'), ("If-None-Match", '"1"')]
        assert (await client.get(url, headers=lines)).status_code == 304

    async def test_what_is_not_there_is_not_found(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        answer = await client.get(f"{entry.path}/{UNKNOWN}", headers={"If-None-Match": "*"})
        assert_problem(answer, 404, entry.not_found, {})
        assert "etag" not in answer.headers


@every_resource
@pytest.mark.parametrize("method", ["GET", "HEAD"])
class TestIfMatchOfReads:
    @pytest.mark.parametrize("tags", ['"1"', "*", '"7", "1"', 'W/"1", "1"', LONG_LIST])
    async def test_the_required_version_is_sent(
        self, client: httpx.AsyncClient, entry: Entry, url: str, method: str, tags: str
    ) -> None:
        answer = await client.request(method, url, headers={"If-Match": tags})
        assert (answer.status_code, bool(answer.content)) == (200, method == "GET")

    @pytest.mark.parametrize("tags", ['"2"', '"01"', '""', '"x"', 'W/"1"', '"9999999999"'])
    async def test_another_version_is_refused_and_told(
        self, client: httpx.AsyncClient, entry: Entry, url: str, method: str, tags: str
    ) -> None:
        # RFC 9110, 13.2.2: If-Match comes first.
        for more in ({}, {"If-None-Match": '"1"'}, {"If-None-Match": "*"}):
            answer = await client.request(method, url, headers={"If-Match": tags, **more})
            assert answer.status_code == 412
            assert answer.headers["etag"] == '"1"'
            if method == "GET":
                assert_problem(answer, 412, "stale_version", {})

    async def test_the_required_version_is_not_sent_again(
        self, client: httpx.AsyncClient, entry: Entry, url: str, method: str
    ) -> None:
        headers = {"If-Match": '"1"', "If-None-Match": '"1"'}
        assert (await client.request(method, url, headers=headers)).status_code == 304

    @malformed
    async def test_a_malformed_list_is_refused(
        self, client: httpx.AsyncClient, entry: Entry, url: str, method: str, tags: str
    ) -> None:
        answer = await client.request(method, url, headers=[(b"If-Match", tags.encode("latin-1"))])
        assert answer.status_code == 400

    async def test_what_is_not_there_is_not_found(
        self, client: httpx.AsyncClient, entry: Entry, method: str
    ) -> None:
        for tags in ("*", '"1"'):
            path = f"{entry.path}/{UNKNOWN}"
            answer = await client.request(method, path, headers={"If-Match": tags})
            assert answer.status_code == 404


writes = pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
updates = pytest.mark.parametrize("method", ["PUT", "PATCH"])


class Writer:
    """Sends writes of a resource: with valid changes, as far as the method has a body."""

    def __init__(self, client: httpx.AsyncClient, entry: Entry, row: Row) -> None:
        self._client, self._entry = client, entry
        own = {name: row[name] for name in entry.bad}
        self._body = {**own, **entry.changes}

    async def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        fields = options.pop("fields", {})
        if method != "DELETE":
            options["json"] = {**self._body, **fields}
        return await self._client.request(method, url, **options)


@pytest.fixture
def write(client: httpx.AsyncClient, entry: Entry, row: Row) -> Writer:
    return Writer(client, entry, row)


@every_resource
@writes
class TestIfMatch:
    @pytest.mark.parametrize(
        "tags",
        [
            *('"1"', "*", ' "1" ', '"7", "1"', '"1","7"', 'W/"1", "1"', ', "1",', '"x", "1"'),
            *('"9999999999", "1"', LONG_LIST),
        ],
    )
    async def test_a_write_of_the_current_version_goes_through(
        self, entry: Entry, method: str, url: str, write: Writer, tags: str
    ) -> None:
        answer = await write(method, url, headers={"If-Match": tags})
        assert answer.status_code == (204 if method == "DELETE" else 200), answer.text
        assert answer.headers.get("etag") == (None if method == "DELETE" else '"2"')

    @pytest.mark.parametrize(
        "tags",
        [
            *('"2"', '"7"', '"0"', '"-1"', '"01"', '"1.0"', '""', '"*"', '"x"', '"2147483648"'),
            *('W/"1"', 'W/"1", "2"', '"9999999999"', '"99999999999999999999"', f'"{"9" * 5000}"'),
        ],
        ids=ascii,
    )
    async def test_a_write_of_another_version_is_stale_and_told_the_current_one(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        method: str,
        url: str,
        row: Row,
        write: Writer,
        tags: str,
    ) -> None:
        headers = {"If-Match": tags}
        answers = [await write(method, url, headers=headers)]
        if method == "PATCH":
            answers.append(await client.patch(url, json={}, headers=headers))
        for answer in answers:
            assert_problem(answer, 412, "stale_version", {})
            assert answer.headers["etag"] == '"1"'
        assert (await client.get(url)).json() == row

    @malformed
    async def test_a_malformed_list_is_refused(
        self, entry: Entry, method: str, url: str, write: Writer, tags: str
    ) -> None:
        headers = [(b"If-Match", tags.encode("latin-1"))]
        for target in (url, f"{entry.path}/{UNKNOWN}"):
            answer = await write(method, target, headers=headers)
            assert_problem(answer, 400, "malformed_header", {"If-Match:": "invalid_format"})

    async def test_several_lines_are_one_list(
        self, entry: Entry, method: str, url: str, write: Writer
    ) -> None:
        lines = [("If-Match", '"7"'), ("If-Match", '"1"')]
        assert (await write(method, url, headers=lines)).is_success

    async def test_an_unknown_id_is_not_found(
        self, entry: Entry, method: str, write: Writer
    ) -> None:
        for headers in ({}, {"If-Match": "*"}, {"If-Match": '"1"'}):
            answer = await write(method, f"{entry.path}/{UNKNOWN}", headers=headers)
            assert_problem(answer, 404, entry.not_found, {})
            assert "etag" not in answer.headers

    async def test_is_optional(self, entry: Entry, method: str, url: str, write: Writer) -> None:
        assert (await write(method, url)).is_success


@every_resource
@writes
class TestIfNoneMatchOfWrites:
    @pytest.mark.parametrize(
        "headers",
        [
            *({"If-None-Match": tags} for tags in ('"1"', 'W/"1"', "*", " * ", '"7",W/"1"')),
            *({"If-None-Match": tags} for tags in (LONG_LIST, '"x", "1"')),
            *({"If-Match": tags, "If-None-Match": '"1"'} for tags in ("*", '"1"', '"1", "2"')),
            {"If-Match": '"1"', "If-None-Match": "*"},
        ],
        ids=range(11),
    )
    async def test_nothing_is_written_where_it_matches(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        method: str,
        url: str,
        row: Row,
        write: Writer,
        headers: dict[str, str],
    ) -> None:
        answers = [await write(method, url, headers=headers)]
        if method == "PATCH":
            answers.append(await client.patch(url, json={}, headers=headers))
        if method != "DELETE":
            answers.append(await write(method, url, headers=headers, fields={"version": 1}))
        for answer in answers:
            assert_problem(answer, 412, "stale_version", {})
            assert answer.headers["etag"] == '"1"'
        assert (await client.get(url)).json() == row

    @pytest.mark.parametrize(
        "headers",
        [
            *({"If-None-Match": tags} for tags in ('"2"', '"01"', '""', '"*"', 'W/"2", "7"')),
            {"If-None-Match": f'"{"9" * 5000}"'},
            *({"If-Match": tags, "If-None-Match": '"2"'} for tags in ("*", '"1"', '"1", "2"')),
        ],
        ids=range(9),
    )
    async def test_a_write_goes_through_where_it_does_not(
        self, entry: Entry, method: str, url: str, write: Writer, headers: dict[str, str]
    ) -> None:
        answer = await write(method, url, headers=headers)
        assert answer.status_code == (204 if method == "DELETE" else 200), answer.text

    @malformed
    async def test_a_malformed_list_is_refused(
        self, entry: Entry, method: str, url: str, write: Writer, tags: str
    ) -> None:
        headers = [(b"If-None-Match", tags.encode("latin-1"))]
        answer = await write(method, url, headers=headers)
        assert_problem(answer, 400, "malformed_header", {"If-None-Match:": "invalid_format"})

    async def test_an_unknown_id_is_not_found(
        self, entry: Entry, method: str, write: Writer
    ) -> None:
        for tags in ("*", '"1"'):
            path = f"{entry.path}/{UNKNOWN}"
            answer = await write(method, path, headers={"If-None-Match": tags})
            assert_problem(answer, 404, entry.not_found, {})

    async def test_comes_before_what_refers_to_the_row(
        self, client: httpx.AsyncClient, entry: Entry, method: str, row: Row
    ) -> None:
        """That an account owns items is a conflict, which comes last."""
        for name, parent in entry.kept_parents().items():
            path = f"{parent.path}/{row[name]}"
            if method == "DELETE":
                assert (await client.delete(path)).status_code == 409
                for tags in ("*", '"1"'):
                    answer = await client.delete(path, headers={"If-None-Match": tags})
                    assert_problem(answer, 412, "stale_version", {})


@every_resource
async def test_creates_ignore_conditions(client: httpx.AsyncClient, entry: Entry) -> None:
    for tags in ("*", '"1"', "malformed"):
        body = await entry.valid_body(client)
        headers = {"If-Match": tags, "If-None-Match": tags}
        assert (await client.post(entry.path, json=body, headers=headers)).status_code == 201


@every_resource
@updates
async def test_an_unknown_id_is_not_found_whatever_the_body_says(
    client: httpx.AsyncClient, entry: Entry, method: str, row: Row
) -> None:
    body = {**row, "id": UNKNOWN, "version": 3}
    answer = await client.request(method, f"{entry.path}/{UNKNOWN}", json=body)
    assert_problem(answer, 404, entry.not_found, {})
    assert (await client.get(entry.path)).json()["data"] == [row]


@every_resource
@updates
async def test_the_version_in_the_body_counts_too(
    client: httpx.AsyncClient, entry: Entry, method: str, url: str, row: Row
) -> None:
    async def answer(version: int, tags: str | None = None) -> httpx.Response:
        headers = {} if tags is None else {"If-Match": tags}
        body = {**row, "version": version}
        return await client.request(method, url, json=body, headers=headers)

    for version, tags in ((7, None), (7, '"1"'), (1, '"7"')):
        stale = await answer(version, tags)
        assert_problem(stale, 412, "stale_version", {})
        assert stale.headers["etag"] == '"1"'
    for tags in (None, '"7", "1"', "*"):
        assert (await answer(1, tags)).json() == row


@every_resource
class TestRequired:
    """With REQUIRE_IF_MATCH no write goes unguarded."""

    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings(require_if_match=True)

    @writes
    async def test_a_write_without_a_condition_is_refused(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        method: str,
        url: str,
        row: Row,
        write: Writer,
    ) -> None:
        for headers in ({}, {"If-None-Match": '"7"'}, {"If-None-Match": "*"}):
            answer = await write(method, url, headers=headers)
            assert_problem(answer, 428, "precondition_required", {})
        assert (await client.get(url)).json() == row

    async def test_so_is_an_empty_patch(
        self, client: httpx.AsyncClient, entry: Entry, url: str
    ) -> None:
        assert_problem(await client.patch(url, json={}), 428, "precondition_required", {})

    @writes
    @pytest.mark.parametrize("tags", ['"1"', "*"])
    async def test_the_header_lets_it_through(
        self, entry: Entry, method: str, url: str, write: Writer, tags: str
    ) -> None:
        assert (await write(method, url, headers={"If-Match": tags})).is_success

    @updates
    async def test_the_version_in_the_body_lets_it_through(
        self, entry: Entry, method: str, url: str, write: Writer
    ) -> None:
        stale = await write(method, url, fields={"version": 2})
        assert_problem(stale, 412, "stale_version", {})
        assert (await write(method, url, fields={"version": 1})).json()["version"] == 2

    async def test_reads_need_no_condition(
        self, client: httpx.AsyncClient, entry: Entry, url: str
    ) -> None:
        assert (await client.get(url)).status_code == 200

    @writes
    async def test_an_unknown_id_is_not_found(
        self, entry: Entry, method: str, write: Writer
    ) -> None:
        answer = await write(method, f"{entry.path}/{UNKNOWN}")
        assert_problem(answer, 404, entry.not_found, {})

    @writes
    async def test_faults_of_the_request_come_first(
        self, entry: Entry, method: str, url: str, write: Writer
    ) -> None:
        answer = await write(method, url, params={"x": "1"})
        assert_problem(answer, 422, "invalid_request", {"?x": "unknown"})
        name, (value, code) = next(iter(entry.bad.items()))
        if method != "DELETE":
            answer = await write(method, url, fields={name: value})
            assert_problem(answer, 422, "invalid_request", {f"/{name}": code})


@pytest.mark.parametrize(
    "tags",
    [
        '"1"' + " ,   " * 12_000 + "x",
        '"1"' + " " * 60_000 + "x",
        '"1", ' * 12_000 + "x",
        '"' * 60_000,
        f'{LONG_LIST}, "0"',
    ],
    ids=range(5),
)
def test_no_list_takes_long_to_refuse(tags: str) -> None:
    started = time.process_time()
    with pytest.raises(MalformedHeader):
        _parse_tags("If-Match", [tags])
    assert time.process_time() - started < 0.5
