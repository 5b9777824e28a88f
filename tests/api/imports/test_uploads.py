"""Imports over HTTP, of every resource: a file is received and checked, then written whole."""

import asyncio
import csv
import errno
import gzip
import io
import json
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.api.imports import uploads
from app.api.imports.rows import RowChecker
from app.auth import keys
from app.config import Settings
from tests.api.batching import stored, total, valid_bodies
from tests.applications import client_of, make_settings, running_app
from tests.catalog import Entry, Row, every_resource
from tests.responses import assert_problem
from tests.waiting import until

KEY = {"Idempotency-Key": "one"}
CSV, NDJSON = "text/csv", "application/x-ndjson"
LIMIT = 20_000


@pytest.fixture
def settings() -> Settings:
    return make_settings(max_import_size=LIMIT)


def as_csv(rows: Sequence[Row], delimiter: str = ",") -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, [*rows[0]], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode()


def as_ndjson(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def send(
    client: httpx.AsyncClient,
    entry: Entry,
    content: bytes | AsyncIterator[bytes],
    media_type: str = CSV,
    headers: dict[str, str] | None = None,
    **query: Any,
) -> httpx.Response:
    return await client.post(
        f"{entry.path}:import",
        content=content,
        headers={"Content-Type": media_type, **(headers or {})},
        params=query,
    )


def report(rows: int, **counts: Any) -> dict[str, Any]:
    kinds = dict.fromkeys(("created", "updated", "skipped", "rejected"), 0)
    return {"rows": rows, **kinds, "errors": [], **counts}


def places(errors: Sequence[dict[str, Any]]) -> dict[tuple[int, str], str]:
    return {(fault["row"], fault["pointer"]): fault["code"] for fault in errors}


@every_resource
class TestRows:
    @pytest.mark.parametrize("is_zipped", [False, True])
    @pytest.mark.parametrize("media_type", [CSV, NDJSON])
    async def test_are_created_as_by_single_requests(
        self, client: httpx.AsyncClient, entry: Entry, media_type: str, is_zipped: bool
    ) -> None:
        sent = await valid_bodies(client, entry, 8)
        before = await total(client, entry)
        content = as_csv(sent) if media_type == CSV else as_ndjson(sent)
        headers = {}
        if is_zipped:
            content, headers = gzip.compress(content, mtime=0), {"Content-Encoding": "gzip"}
        answer = await send(client, entry, content, media_type, headers)
        assert answer.status_code == 200, answer.text
        assert answer.json() == report(8, created=8)
        assert answer.headers["cache-control"] == "private, no-cache"
        assert not {"etag", "location"} & answer.headers.keys()
        assert await total(client, entry) == before + 8
        listed = (await client.get(entry.path, params={"limit": 8})).json()["data"]
        empty = {"": None} if media_type == CSV else {}  # CSV has no empty text
        expected = [{name: empty.get(value, value) for name, value in row.items()} for row in sent]
        fields = [{name: row[name] for name in expected[0]} for row in listed]
        assert sorted(map(json.dumps, fields)) == sorted(map(json.dumps, expected))
        assert {row["version"] for row in listed} == {1}

    @pytest.mark.parametrize("media_type", [CSV, NDJSON])
    async def test_that_are_bad_keep_all_from_being_stored(
        self, client: httpx.AsyncClient, entry: Entry, media_type: str
    ) -> None:
        sent = await valid_bodies(client, entry, 4)
        sent[1] = {name: value for name, (value, _) in entry.bad.items()}
        before = await total(client, entry)
        content = as_csv(sent) if media_type == CSV else as_ndjson(sent)
        answer = await send(client, entry, content, media_type)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["code"] == "import_rejected"
        codes = {name: code for name, (_, code) in entry.bad.items()}
        if media_type == CSV:  # an empty cell is null
            codes |= dict.fromkeys(
                (name for name, (value, _) in entry.bad.items() if value == ""), "null_not_allowed"
            )
        assert places(problem["errors"]) == {(2, f"/{name}"): code for name, code in codes.items()}
        assert problem["report"] == report(4, rejected=1)
        assert await total(client, entry) == before

        answer = await send(client, entry, content, media_type, on_error="skip")
        assert answer.status_code == 200, answer.text
        assert answer.json() == report(4, created=3, rejected=1, errors=problem["errors"])
        assert await total(client, entry) == before + 3

    async def test_that_are_there_are_faults_or_skipped_or_updated(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        rows = [await entry.create(client) for _ in range(3)]
        assert await stored(client, entry, rows) == rows
        changed = [{**rows[0], **entry.changes}, rows[1], rows[2]]
        answer = await send(client, entry, as_ndjson(changed), NDJSON)
        assert answer.status_code == 422
        assert set(places(answer.json()["errors"]).values()) == {"not_unique"}
        assert {row for row, _ in places(answer.json()["errors"])} == {1, 2, 3}
        answer = await send(client, entry, as_ndjson(changed), NDJSON, on_conflict="skip")
        assert answer.json() == report(3, skipped=3)
        assert await stored(client, entry, rows) == rows
        answer = await send(client, entry, as_ndjson(changed), NDJSON, on_conflict="update")
        assert answer.json() == report(3, updated=1, skipped=2)
        first, *others = await stored(client, entry, rows)
        assert others == rows[1:]
        assert first == {
            **rows[0],
            **entry.changes,
            "updated": first["updated"],
            "version": rows[0]["version"] + 1,
        }
        assert first["updated"] > rows[0]["updated"]

    async def test_of_an_empty_file_are_none(self, client: httpx.AsyncClient, entry: Entry) -> None:
        assert (await send(client, entry, b"", NDJSON)).json() == report(0)
        header = ",".join(await entry.valid_body(client)).encode()
        assert (await send(client, entry, header)).json() == report(0)

    async def test_validated_only_are_reported_and_not_stored(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        sent = await valid_bodies(client, entry, 3)
        before = await total(client, entry)
        for key in ("one", "one"):  # ignored
            answer = await send(
                client, entry, as_csv(sent), headers={"Idempotency-Key": key}, validate_only="true"
            )
            assert answer.status_code == 200, answer.text
            assert answer.json() == report(3, created=3)
        assert await total(client, entry) == before
        answer = await send(client, entry, as_csv(sent)[:-60], validate_only="1")
        assert answer.status_code == 422

    async def test_keep_their_ids_and_instants_if_asked(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        kept = {
            "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "created": "2022-05-17 10:00:00+00",
            "updated": "2022-05-18 12:30:00.5+02",
        }
        answer = await send(client, entry, as_csv([{**body, **kept}]), keep_ids="true")
        assert answer.json() == report(1, created=1), answer.text
        row = (await client.get(f"{entry.path}/{kept['id']}")).json()
        assert row["created"] == "2022-05-17T10:00:00.000000Z"
        assert row["updated"] == "2022-05-18T10:30:00.500000Z"

    async def test_have_no_ids_of_their_own_otherwise(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        body = await entry.valid_body(client)
        unknown = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
        system = {"id": unknown, "created": "2022-05-17 10:00:00+00", "updated": "", "version": "7"}
        answer = await send(client, entry, as_csv([{**body, **system}]))
        assert answer.json() == report(1, created=1), answer.text
        assert (await client.get(f"{entry.path}/{unknown}")).status_code == 404


@every_resource
class TestFile:
    @pytest.mark.parametrize(
        ("content", "headers", "status", "code"),
        [
            (b"a", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
            (b"a", {"Content-Type": ""}, 415, "unsupported_media_type"),
            (b"a", {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
            (b"a", {"Content-Encoding": "gzip"}, 400, "malformed_body"),
            (
                gzip.compress(b"a" * 99, mtime=0)[:-9],
                {"Content-Encoding": "gzip"},
                400,
                "malformed_body",
            ),
            ("ä".encode("latin-1"), {}, 400, "malformed_body"),
            (b'"a\n', {}, 400, "malformed_body"),
            (b"x" * (LIMIT + 1), {}, 413, "body_too_large"),
            (
                gzip.compress(b"\n" * (LIMIT + 1), mtime=0),
                {"Content-Encoding": "gzip"},
                413,
                "body_too_large",
            ),
        ],
    )
    async def test_that_cannot_be_read_is_refused(
        self,
        client: httpx.AsyncClient,
        entry: Entry,
        content: bytes,
        headers: dict[str, str],
        status: int,
        code: str,
    ) -> None:
        answer = await send(client, entry, content, headers=headers)
        assert_problem(answer, status, code)

    async def test_larger_than_other_bodies_is_taken(
        self, app: FastAPI, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        app.state.settings = make_settings(max_import_size=10**7, max_body_size=1024)
        sent = await valid_bodies(client, entry, 100)
        answer = await send(client, entry, as_csv(sent))
        assert answer.json() == report(100, created=100), answer.text

    async def test_with_other_columns_is_refused_without_rows(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        row = await entry.valid_body(client)
        name, second, *rest = row
        answer = await send(client, entry, ",".join([second, second, "x", *rest]).encode())
        expected = {f"/{second}": "duplicate", "/x": "unknown", f"/{name}": "required"}
        assert_problem(answer, 422, "invalid_request", expected)

    async def test_beyond_the_query_is_not_even_read(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        query: dict[str, Any] = {"on_conflict": "x", "on_error": "", "keep_ids": "y", "z": "1"}
        answer = await send(client, entry, b"\xff", **query)
        expected = {
            "?on_conflict": "invalid_format",
            "?on_error": "invalid_format",
            "?keep_ids": "wrong_type",
            "?z": "unknown",
        }
        assert_problem(answer, 422, "invalid_request", expected)
        answer = await send(client, entry, b"", NDJSON, spreadsheet="true")
        assert_problem(answer, 422, "invalid_request", {"?spreadsheet": "invalid_format"})

    async def test_of_a_spreadsheet_loses_its_quotes(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        row = {**await entry.valid_body(client), entry.free_text: "'=1+1"}
        answer = await send(client, entry, as_csv([row]), spreadsheet="true")
        assert answer.json() == report(1, created=1), answer.text
        (listed,) = (await client.get(entry.path, params={"limit": 1})).json()["data"]
        assert listed[entry.free_text] == "=1+1"


class TestIdempotencyKey:
    @every_resource
    async def test_compares_the_bytes_and_the_query(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        sent = as_csv(await valid_bodies(client, entry, 2))
        before = await total(client, entry)
        first = await send(client, entry, sent, headers=KEY)
        again = await send(client, entry, sent, headers=KEY)
        assert first.json() == again.json() == report(2, created=2)
        assert again.headers["idempotency-replayed"] == "true"
        assert await total(client, entry) == before + 2
        others: list[tuple[bytes, dict[str, Any]]]
        others = [(sent + b"\n", {}), (sent, {"on_conflict": "skip"})]
        for content, query in others:
            answer = await send(client, entry, content, headers=KEY, **query)
            assert_problem(answer, 422, "idempotency_key_reused")

    @every_resource
    async def test_of_a_rejected_import_may_be_used_again(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        good = await valid_bodies(client, entry, 1)
        bad = {name: value for name, (value, _) in entry.bad.items()}
        answer = await send(client, entry, as_csv([*good, bad]), headers=KEY)
        assert answer.status_code == 422
        answer = await send(client, entry, as_csv(good), headers=KEY)
        assert answer.json() == report(1, created=1)


class TestScope:
    @pytest.mark.parametrize(("scope", "status"), [("write", 403), ("admin", 200)])
    async def test_to_keep_ids_is_admin(self, database: URL, scope: Any, status: int) -> None:
        async with running_app(database, auth_mode="on") as app, client_of(app) as client:
            engine = create_async_engine(database)
            async with AsyncSession(engine) as session, session.begin():
                key = await keys.create_key(session, app.state.settings.mode, "me", scope, None)
            await engine.dispose()
            client.headers["Authorization"] = f"Bearer {key.secret}"
            content = b"email,username\na@example.com,a\n"
            headers = {"Content-Type": CSV}
            path = "/accounts:import"
            answer = await client.post(path, content=content, headers=headers)
            assert answer.status_code == 200
            query = {"keep_ids": "true", "on_conflict": "skip"}
            answer = await client.post(path, content=content, headers=headers, params=query)
            assert answer.status_code == status


class Slow:
    """A body that stops after its first piece until it is released."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.release = asyncio.Event()
        self.has_begun = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._content[:1]
        self.has_begun.set()
        await self.release.wait()
        yield self._content[1:]


async def begin(
    client: httpx.AsyncClient, entry: Entry, slow: Slow
) -> asyncio.Task[httpx.Response]:
    task = asyncio.create_task(send(client, entry, slow.pieces()))
    await slow.has_begun.wait()
    await asyncio.sleep(0)
    return task


@every_resource
class TestReceiving:
    async def test_holds_no_connection_to_the_database(
        self, committed_app: FastAPI, committed_client: httpx.AsyncClient, entry: Entry
    ) -> None:
        slow = Slow(as_csv(await valid_bodies(committed_client, entry, 2)))
        task = await begin(committed_client, entry, slow)
        assert committed_app.state.statements.queue.in_use == 0
        slow.release.set()
        assert (await task).json() == report(2, created=2)

    async def test_of_more_than_max_imports_is_refused(
        self, committed_client: httpx.AsyncClient, entry: Entry
    ) -> None:
        sent = await valid_bodies(committed_client, entry, 2)
        slow = [Slow(as_csv([row])) for row in sent]
        tasks = [await begin(committed_client, entry, each) for each in slow]
        answer = await send(committed_client, entry, as_csv(sent))
        assert_problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"]
        for each in slow:
            each.release.set()
        for task in tasks:
            assert (await task).json() == report(1, created=1)
        answer = await send(committed_client, entry, as_csv(sent), on_conflict="skip")
        assert answer.status_code == 200  # the places are free again

    async def test_frees_its_place_whatever_happens(
        self, committed_client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for _ in range(5):
            assert (await send(committed_client, entry, b"\xff")).status_code == 400
            bad = {"Idempotency-Key": "x" * 256}
            answer = await send(committed_client, entry, b"", NDJSON, headers=bad)
            assert answer.status_code == 400
        assert (await send(committed_client, entry, b"", NDJSON)).status_code == 200

    async def test_onto_a_full_disk_is_refused(
        self, committed_client: httpx.AsyncClient, entry: Entry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Full(io.BytesIO):
            def write(self, data: Any, /) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        content = as_csv(await valid_bodies(committed_client, entry, 1))
        files = [[Full(), io.BytesIO()], [io.BytesIO(), Full()]]
        for made in files:
            monkeypatch.setattr(uploads, "TemporaryFile", partial(next, iter(made)))
            assert_problem(await send(committed_client, entry, content), 503, "overloaded")

    async def test_leaves_no_file(
        self, committed_client: httpx.AsyncClient, entry: Entry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []

        def temporary_file() -> Any:
            made.append(tempfile.TemporaryFile())  # noqa: SIM115
            return made[-1]

        monkeypatch.setattr(uploads, "TemporaryFile", temporary_file)
        for content in (as_csv(await valid_bodies(committed_client, entry, 1)), b"\xff"):
            await send(committed_client, entry, content)
        assert len(made) == 4
        assert all(file.closed for file in made)

    @pytest.mark.parametrize("others", [0, 1])
    async def test_checks_rows_beside_the_event_loop_and_pauses_for_others(
        self,
        committed_app: FastAPI,
        committed_client: httpx.AsyncClient,
        entry: Entry,
        monkeypatch: pytest.MonkeyPatch,
        others: int,
    ) -> None:
        threads: set[int] = set()
        pauses: list[float] = []
        check = RowChecker.check

        def recorded(*arguments: Any) -> Any:
            threads.add(threading.get_ident())
            return check(*arguments)

        monkeypatch.setattr(RowChecker, "check", recorded)
        monkeypatch.setattr(uploads, "sleep", pauses.append)
        monkeypatch.setattr(uploads, "perf_counter", count().__next__)
        committed_app.state.counters.in_flight += others
        sent = await valid_bodies(committed_client, entry, 100)
        assert (await send(committed_client, entry, as_csv(sent))).json() == report(
            100, created=100
        )
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        assert pauses == [others * uploads._PAUSE_SECONDS] * 100

    async def test_ends_with_its_client(
        self, committed_client: httpx.AsyncClient, entry: Entry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = await valid_bodies(committed_client, entry, 100)
        before = await total(committed_client, entry)
        checked: list[int] = []
        begun, go_on = threading.Event(), threading.Event()
        check = RowChecker.check

        def slowly(self: RowChecker, number: int, source: Any) -> Any:
            checked.append(number)
            begun.set()
            go_on.wait()
            return check(self, number, source)

        monkeypatch.setattr(RowChecker, "check", slowly)
        monkeypatch.setattr(uploads, "perf_counter", count().__next__)
        task = asyncio.create_task(send(committed_client, entry, as_csv(sent)))
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert_problem(await task, 503, "database_unavailable")
        assert checked == [1]  # up to the next pause
        assert await total(committed_client, entry) == before
