"""Exports over HTTP: what a client may ask for, and what tells it that an export is whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from structlog.testing import capture_logs

from app.api.exports import MEDIA_TYPES
from app.postgres import copies as copies_module
from app.postgres.failures import FAILURES
from app.resources.exports import Format
from tests.applications import client_of, document, running_app
from tests.catalog import Entry, entry_of, every_resource
from tests.databases import execute
from tests.pages import refused
from tests.waiting import come, until

NDJSON, CSV = MEDIA_TYPES["ndjson"], MEDIA_TYPES["csv"]


@every_resource
class TestFormat:
    @pytest.mark.parametrize(
        ("query", "accept", "expected"),
        [
            ("", "*/*", "ndjson"),
            ("", "text/csv", "csv"),
            ("", "text/csv, */*;q=0.1", "csv"),
            ("", f"{NDJSON}, text/csv;q=0.9", "ndjson"),
            ("", f"{NDJSON};q=0.3, text/csv;q=0.9", "csv"),
            ("", "text/csv;q=0", "ndjson"),
            ("", "application/json", "ndjson"),
            ("?format=ndjson", "text/csv", "ndjson"),
            ("?format=csv", NDJSON, "csv"),
        ],
    )
    async def test_is_what_the_query_or_else_accept_says(
        self, client: httpx.AsyncClient, entry: Entry, query: str, accept: str, expected: Format
    ) -> None:
        answer = await client.get(f"{entry.path}:export{query}", headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[expected]
        name = f"{entry.resource.table.name}.{expected}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert answer.headers["cache-control"] == "private, no-cache"

    async def test_is_compressed_where_the_client_takes_gzip(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry
    ) -> None:
        await entry.insert(connection, [{}] * 50)
        path = f"{entry.path}:export"
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        packed = await client.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.num_bytes_downloaded < len(plain.content) / 2
        assert packed.content == plain.content

    async def test_is_the_same_where_fastapi_calls_the_endpoint(
        self, client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, app: FastAPI
    ) -> None:
        await entry.insert(connection, [{}] * 3)
        path, headers = f"{entry.path}:export", {"Accept": CSV, "X-Request-ID": "same"}
        usual = await client.get(path, headers=headers)
        app.dependency_overrides[TestFormat] = TestFormat
        other = await client.get(path, headers=headers)
        assert (other.headers, other.content) == (usual.headers, usual.content)
        assert (await client.get(f"{path}?spreadsheet=1")).status_code == 422

    async def test_of_head_has_the_headers_of_get_and_runs_no_statement(
        self, client: httpx.AsyncClient, entry: Entry, app: FastAPI
    ) -> None:
        app.state.copies = None
        answer = await client.head(f"{entry.path}:export?format=csv")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.content == b""


@every_resource
class TestBadParameters:
    @pytest.mark.parametrize("name", ["limit", "cursor", "count"])
    async def test_pages_are_none(self, client: httpx.AsyncClient, entry: Entry, name: str) -> None:
        path = f"{entry.path}:export?{name}=1"
        assert await refused(client, path) == [(name, "unknown")]

    async def test_spreadsheets_are_csv(self, client: httpx.AsyncClient, entry: Entry) -> None:
        path = f"{entry.path}:export?spreadsheet=true"
        assert await refused(client, path) == [("spreadsheet", "invalid_format")]
        assert await refused(client, f"{path}&format=ndjson&limit=1&sort=x") == [
            ("limit", "unknown"),
            ("spreadsheet", "invalid_format"),
            ("sort", "invalid_format"),
        ]
        answer = await client.get(path, headers={"Accept": "text/csv"})
        assert answer.status_code == 200
        answer = await client.get(f"{path}&format=csv")
        assert answer.status_code == 200

    async def test_are_refused_as_in_lists(self, client: httpx.AsyncClient, entry: Entry) -> None:
        path = f"{entry.path}:export?format=xml&created_gte=2026-01-31&format=csv"
        assert await refused(client, path) == [
            ("format", "duplicate"),
            ("created_gte", "invalid_format"),
        ]


@every_resource
def test_the_document_has_both_streams_and_no_parameters_of_pages(entry: Entry) -> None:
    operation = document()["paths"][f"{entry.path}:export"]["get"]
    assert operation["operationId"] == f"export_{entry.resource.table.name}"
    content = operation["responses"]["200"]["content"]
    assert content == {name: {"schema": {"type": "string"}} for name in (NDJSON, CSV)}
    headers = operation["responses"]["200"]["headers"].keys()
    assert headers >= {"Content-Disposition", "Content-Encoding", "X-Request-ID"}
    names = {parameter["name"] for parameter in operation["parameters"]}
    listed = document()["paths"][entry.path]["get"]["parameters"]
    paging = {"limit", "cursor", "count"}
    assert names == {one["name"] for one in listed} - paging | {"format", "spreadsheet"}
    assert {"200", "401", "403", "422", "503"} <= operation["responses"].keys()


async def test_another_method_is_not_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/accounts:export")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


class Reader:
    """A client of the application itself, which takes what is sent when the test says so."""

    def __init__(self, app: FastAPI, path: str, **headers: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.may_send = asyncio.Event()
        self.leaves = asyncio.Event()
        self._received = False
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "scheme": "http",
            "root_path": "",
            "server": ("satchel.test", 80),
            "state": {},
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        await self.may_send.wait()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


@pytest.fixture
async def many(database: URL) -> int:
    """The number of accounts in the database: more than all buffers on the way hold."""
    engine = create_async_engine(database)
    accounts = entry_of("/accounts")
    rows = 40_000
    async with engine.begin() as connection:
        made = [
            accounts.row(accounts.body(n) | {"username": "x" * 100})
            for n in range(100_000, 100_000 + rows)
        ]
        await accounts.insert_all(connection, made)
    await engine.dispose()
    return rows


@pytest.fixture
async def served(database: URL) -> AsyncIterator[FastAPI]:
    async with running_app(database, export_timeout=3600) as app:
        yield app


async def running(database: URL) -> int:
    """How many copies the server of PostgreSQL runs."""
    engine = create_async_engine(database)
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %%'"
            " AND state = 'active' AND datname = current_database()"
        )
        count: int = found.scalar_one()
    await engine.dispose()
    return count


@pytest.mark.usefixtures("many")
class TestSlowClients:
    async def test_one_that_reads_nothing_makes_the_database_wait(
        self, served: FastAPI, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = 0
        add = copies_module._Pieces.add

        async def count(self: Any, piece: bytes) -> None:
            nonlocal taken
            taken += len(piece)
            await add(self, piece)

        monkeypatch.setattr(copies_module._Pieces, "add", count)
        reader = Reader(served, "/accounts:export")
        await come(until(lambda: reader.sent))
        for _ in range(50):
            await asyncio.sleep(0.002)
        # One piece waits to be sent; it may end with what the driver had read already.
        assert taken < copies_module.PIECE_SIZE + 512 * 1024
        assert await running(database) == 1
        reader.may_send.set()
        await come(reader.task)
        assert reader.is_whole
        assert reader.body.count(b"\n") == 40_000
        assert taken > 5_000_000

    async def test_one_that_leaves_ends_the_query(self, served: FastAPI, database: URL) -> None:
        reader = Reader(served, "/accounts:export")
        await come(until(lambda: reader.sent))
        assert await running(database) == 1
        reader.leaves.set()
        await come(reader.task)
        assert not reader.is_whole
        assert served.state.copies.running == 0

        async def has_ended() -> bool:
            return await running(database) == 0

        await until(has_ended)

    async def test_a_cancelled_one_ends_the_query(self, served: FastAPI, database: URL) -> None:
        """As those are that take longer than SHUTDOWN_GRACE."""
        reader = Reader(served, "/accounts:export")
        await come(until(lambda: reader.sent))
        reader.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await come(reader.task)
        assert served.state.copies.running == 0

    async def test_more_than_max_exports_are_refused(self, served: FastAPI) -> None:
        readers = [Reader(served, "/accounts:export"), Reader(served, "/items:export")]
        readers[1].may_send.set()
        await come(readers[1].task)
        readers[1] = Reader(served, "/accounts:export")
        await come(until(lambda: all(reader.sent for reader in readers)))
        async with client_of(served) as client:
            answer = await client.get("/items:export")
            assert answer.status_code == 503
            assert answer.json()["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) > 0
            # They take nothing from others.
            statements = served.state.statements
            assert (statements.queue.in_use, statements.queue.waiting) == (0, 0)
            assert (await client.get("/accounts?limit=1")).status_code == 200
            for reader in readers:
                reader.may_send.set()
            await come(asyncio.gather(*(reader.task for reader in readers)))
            assert all(reader.is_whole for reader in readers)
            assert (await client.get("/items:export")).status_code == 200

    async def test_is_one_snapshot(self, served: FastAPI, database: URL) -> None:
        reader = Reader(served, "/accounts:export")
        await come(until(lambda: reader.sent))
        await execute(
            database,
            "UPDATE accounts SET version = 2",
            "DELETE FROM accounts WHERE username > ''",
        )
        reader.may_send.set()
        await come(reader.task)
        assert reader.body.count(b'"version":1}\n') == 40_000

    async def test_one_that_takes_longer_than_export_timeout_is_broken_off(
        self, database: URL
    ) -> None:
        async with running_app(database, export_timeout=2) as app:
            reader = Reader(app, "/accounts:export")
            with pytest.raises(FAILURES):
                await come(reader.task)
            assert reader.sent
            assert not reader.is_whole
            assert app.state.copies.running == 0

    async def test_a_lost_database_breaks_it_off(self, served: FastAPI, database: URL) -> None:
        reader = Reader(served, "/accounts:export")
        await come(until(lambda: reader.sent))
        await execute(
            database.set(database="postgres"),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE query LIKE 'COPY %' AND datname = '{database.database}'",
        )
        reader.may_send.set()
        with capture_logs() as lines, pytest.raises(FAILURES):
            await come(reader.task)
        assert not reader.is_whole
        # It counts as what it is.
        assert lines[-1]["event"] == "request"
        assert (lines[-1]["status"], lines[-1]["problem"]) == (200, "database_unavailable")


class TestFailures:
    async def test_before_the_first_row_are_problems(self, database: URL) -> None:
        async with running_app(database, export_timeout=0.5) as app, client_of(app) as client:
            engine = create_async_engine(database)
            async with engine.connect() as connection:
                await connection.exec_driver_sql("LOCK TABLE accounts")
                answer = await client.get("/accounts:export")
            await engine.dispose()
            assert answer.status_code == 503
            assert answer.json()["code"] == "overloaded"
            assert (await client.get("/accounts:export")).status_code == 200

    async def test_that_are_bugs_are_internal_errors(self, database: URL) -> None:
        async with running_app(database) as app, client_of(app) as client:
            await execute(database, "ALTER TABLE accounts RENAME COLUMN dob TO born")
            answer = await client.get("/accounts:export")
            assert answer.status_code == 500
            assert answer.json()["code"] == "internal"
