"""Metrics, in Prometheus' formats, of one process and of several workers."""

import asyncio
import multiprocessing
import os
import re
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine

from app import __version__
from app.accounts import service as account_service
from app.config import ConfigurationError
from app.errors import problem_types
from app.postgres.migrations import older_revisions
from app.serving import metrics
from app.telemetry.process_metrics import ProcessMetrics
from app.telemetry.request_counters import FOLDER, RequestCounters
from tests.api.cases import UNKNOWN
from tests.applications import client_of, running_app
from tests.factories import create_account
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE, until, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def figure(page: str, name: str, **labels: str) -> float | None:
    """The value of a series; None if it does not exist."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


async def scrape(client: httpx.AsyncClient) -> str:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return answer.text


def requests(page: str, method: str, route: str, status: str) -> float | None:
    name = "satchel_http_request_duration_seconds_count"
    return figure(page, name, method=method, route=route, status=status)


class TestRequests:
    async def test_are_counted_by_method_template_and_status(
        self, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client)
        for _ in range(3):
            await client.get(f"/accounts/{account['id']}")
        await client.head(f"/accounts/{account['id']}")
        await client.get(f"/accounts/{UNKNOWN}")
        page = await scrape(client)
        assert requests(page, "POST", "/accounts", "201") == 1
        assert requests(page, "GET", "/accounts/{account_id}", "200") == 3
        assert requests(page, "HEAD", "/accounts/{account_id}", "200") == 1
        assert requests(page, "GET", "/accounts/{account_id}", "404") == 1
        name = "satchel_http_request_duration_seconds"
        labels = {"method": "GET", "route": "/accounts/{account_id}", "status": "200"}
        assert (figure(page, f"{name}_sum", **labels) or 0) > 0
        assert figure(page, f"{name}_bucket", le="+Inf", **labels) == 3

    async def test_with_unknown_paths_or_methods_share_a_series(
        self, client: httpx.AsyncClient
    ) -> None:
        for number in range(5):
            await client.get(f"/nowhere/{number}")
            await client.request(f"METHOD{number}", "/nowhere")
        page = await scrape(client)
        assert requests(page, "GET", "unmatched", "404") == 5
        assert requests(page, "other", "unmatched", "404") == 5
        assert "nowhere" not in page
        assert "METHOD" not in page

    async def test_without_a_response_have_no_status(self) -> None:
        counters = RequestCounters()
        counters.observe("POST", "/accounts", 0, 0.1, None)
        names = {sample.labels.get("status") for family in counters.collector().collect()
                 for sample in family.samples}  # fmt: skip
        assert names == {"none", None}

    async def test_in_flight_include_the_scrape(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        app.state.counters.in_flight += 2
        assert figure(await scrape(client), "satchel_http_requests_in_flight") == 3
        app.state.counters.in_flight -= 2
        assert figure(await scrape(client), "satchel_http_requests_in_flight") == 1

    async def test_that_are_cancelled_are_no_longer_in_flight(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entered = asyncio.Event()

        async def hang(*_: object) -> Any:
            entered.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(account_service, "list_accounts", hang)
        async with running_app(database) as application, client_of(application) as client:
            task = asyncio.create_task(client.get("/accounts"))
            await entered.wait()
            assert application.state.counters.in_flight == 1
            task.cancel()
            assert (await task).status_code == 503
            assert application.state.counters.in_flight == 0
            page = await scrape(client)
        assert requests(page, "GET", "/accounts", "503") == 1


class TestProblems:
    async def test_are_counted_by_code(self, client: httpx.AsyncClient) -> None:
        await client.get(f"/accounts/{UNKNOWN}")
        await client.get("/nowhere")
        await client.get("/nowhere")
        page = await scrape(client)
        assert figure(page, "satchel_problems_total", code="account_not_found") == 1
        assert figure(page, "satchel_problems_total", code="not_found") == 2

    async def test_each_code_has_a_series_from_the_start(self, client: httpx.AsyncClient) -> None:
        (family,) = [
            family for name, family in families(await scrape(client)).items()
            if name == "satchel_problems"
        ]  # fmt: skip
        assert {sample.labels["code"] for sample in family.samples} == set(problem_types())
        assert {sample.value for sample in family.samples} == {0}


class TestDatabase:
    async def test_connections_in_use_and_callers_waiting(self, database: URL) -> None:
        engine = create_async_engine(database)
        async with (
            running_app(database, pool_size=2) as application,
            client_of(application) as client,
        ):
            statements = application.state.statements
            async with engine.connect() as other:
                await other.execute(text("LOCK TABLE accounts"))
                tasks = [asyncio.create_task(client.get("/accounts")) for _ in range(3)]
                await until(lambda: (statements.queue.in_use, statements.queue.waiting) == (2, 1))
                application.state.counters.sample(statements)
                seen = {
                    sample.name: sample.value
                    for family in application.state.counters.collector().collect()
                    for sample in family.samples
                    if sample.name.startswith("satchel_database_")
                }
            await asyncio.gather(*tasks)
            page = await scrape(client)
        await engine.dispose()
        assert seen == {
            "satchel_database_connections_max": 2,
            "satchel_database_connections_in_use": 2,
            "satchel_database_connections_waiting": 1,
        }
        assert figure(page, "satchel_database_connections_in_use") == 0
        assert figure(page, "satchel_database_connections_waiting") == 0

    async def test_rows_of_shared_reads(self, database: URL) -> None:
        async with running_app(database) as application, client_of(application) as client:
            ids = [(await create_account(client))["id"] for _ in range(6)]
            await asyncio.gather(*(client.get(f"/accounts/{one}") for one in ids))
            page = await scrape(client)
        name = "satchel_read_batch_size"
        assert figure(page, f"{name}_sum") == 6
        assert 1 <= (figure(page, f"{name}_count") or 0) < 6

    async def test_a_read_shares_its_statement_while_any_request_is_in_flight(
        self, database: URL
    ) -> None:
        engine = create_async_engine(database)
        async with running_app(database) as application, client_of(application) as client:
            path = f"/accounts/{(await create_account(client))['id']}"
            async with engine.connect() as other:
                await other.execute(text("LOCK TABLE items"))
                waiting = asyncio.create_task(client.get("/items"))
                await until(lambda: application.state.statements.queue.in_use == 1)
                await asyncio.gather(client.get(path), client.get(path))
            await waiting
            page = await scrape(client)
        await engine.dispose()
        assert figure(page, "satchel_read_batch_size_sum") == 2
        assert figure(page, "satchel_read_batch_size_count") == 1

    async def test_schema_and_readiness(self, client: httpx.AsyncClient) -> None:
        page = await scrape(client)
        revision = max(path.name[:4] for path in Path("alembic/versions").glob("*.py"))
        assert figure(page, "satchel_schema_info", revision=revision) == 1
        assert figure(page, "satchel_ready", check="database") == 1
        assert figure(page, "satchel_ready", check="schema") == 1

    async def test_an_older_schema_is_not_ready(
        self, app: FastAPI, client: httpx.AsyncClient
    ) -> None:
        revisions = {path.name[:4] for path in Path("alembic/versions").glob("*.py")}
        app.state.older_revisions = older_revisions() | revisions
        page = await scrape(client)
        assert figure(page, "satchel_ready", check="database") == 1
        assert figure(page, "satchel_ready", check="schema") == 0

    async def test_is_unavailable_and_other_metrics_are_still_there(self, database: URL) -> None:
        url = database.set(database="satchel_absent")
        async with (
            running_app(url, migrate_on_start=False) as application,
            client_of(application) as client,
        ):
            await client.get("/accounts")
            page = await scrape(client)
        assert figure(page, "satchel_ready", check="database") == 0
        assert figure(page, "satchel_problems_total", code="database_unavailable") == 1


class TestPage:
    async def test_has_build_and_process(self, client: httpx.AsyncClient) -> None:
        page = await scrape(client)
        (build,) = families(page)["satchel_build_info"].samples
        assert build.labels["version"] == __version__
        assert (figure(page, "process_cpu_seconds_total") or 0) > 0
        assert (figure(page, "process_resident_memory_bytes") or 0) > 1_000_000
        first = figure(page, "process_cpu_seconds_total")
        assert (figure(await scrape(client), "process_cpu_seconds_total") or 0) >= (first or 0)

    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
            ("application/openmetrics-text; version=nonsense", "text/plain"),
            ("application/openmetrics-text; version=99.1", "application/openmetrics-text"),
        ],
    )
    async def test_is_negotiated(
        self, client: httpx.AsyncClient, accept: str, media_type: str
    ) -> None:
        answer = await client.get("/metrics", headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.headers["cache-control"] == "no-store"
        parse = openmetrics if "openmetrics" in media_type else text_string_to_metric_families
        assert "satchel_problems" in {family.name for family in parse(answer.text)}

    async def test_names_follow_prometheus(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        for family in openmetrics(answer.text):
            assert re.fullmatch(r"(satchel|process)_[a-z_]+", family.name)
            assert family.documentation.endswith(".")
            assert not re.search("_(ms|milliseconds|minutes|kb|mb)$", family.name)

    async def test_every_metric_is_documented(self, client: httpx.AsyncClient) -> None:
        page = await scrape(client)
        exposed = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
        documented = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
        assert exposed == documented

    async def test_is_not_in_the_openapi_document(self, app: FastAPI) -> None:
        assert "/metrics" not in app.openapi()["paths"]


class TestUnsupportedSystem:
    def test_has_no_metrics_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        process = ProcessMetrics(registry)
        nothing = ProcessCollector(proc="/nowhere", registry=None)
        monkeypatch.setattr(process, "_source", nothing)
        process.sample()
        assert list(registry.collect()) == []


class TestShared:
    """Workers count in files of a folder."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv(FOLDER, str(tmp_path))
        monkeypatch.setattr(values, "ValueClass", values.ValueClass)  # restored after the test
        return tmp_path

    def worker(self, monkeypatch: pytest.MonkeyPatch, name: str) -> RequestCounters:
        monkeypatch.setattr(multiprocessing.current_process(), "name", name)
        return RequestCounters()

    def total(self, counters: RequestCounters) -> float:
        return sum(
            sample.value
            for family in counters.collector().collect()
            for sample in family.samples
            if sample.name == "satchel_http_request_duration_seconds_count"
        )

    def test_each_worker_shows_the_counts_of_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = self.worker(monkeypatch, "worker-0")
        second = self.worker(monkeypatch, "worker-1")
        first.observe("GET", "/", 200, 0.1, None)
        second.observe("GET", "/", 200, 0.1, None)
        assert (self.total(first), self.total(second)) == (2, 2)

    def test_a_replacement_continues_the_counts(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.worker(monkeypatch, "worker-0").observe("GET", "/", 200, 0.1, None)
        files = {path.name for path in folder.iterdir()}
        successor = self.worker(monkeypatch, "worker-0")
        successor.observe("GET", "/", 200, 0.1, None)
        assert self.total(successor) == 2
        assert {path.name for path in folder.iterdir()} == files

    def test_other_processes_count_under_their_pid(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.worker(monkeypatch, "MainProcess")
        assert (folder / f"counter_{os.getpid()}.db").exists()

    async def test_gauges_are_shared_periodically(
        self, monkeypatch: pytest.MonkeyPatch, database: URL
    ) -> None:
        monkeypatch.setattr(metrics, "SAMPLE_INTERVAL_SECONDS", 0.01)
        other = self.worker(monkeypatch, "worker-0")
        monkeypatch.setattr(multiprocessing.current_process(), "name", "worker-1")

        def size() -> float:
            return sum(
                sample.value
                for family in other.collector().collect()
                for sample in family.samples
                if sample.name == "satchel_database_connections_max"
            )

        assert size() == 0
        async with running_app(database, pool_size=7):
            await until(lambda: size() == 7)


class TestFolder:
    def test_exists_while_workers_run(self) -> None:
        with metrics.shared_folder(2):
            folder = Path(os.environ[FOLDER])
            assert folder.is_dir()
        assert not folder.exists()
        assert FOLDER not in os.environ

    def test_replaces_one_that_a_killed_server_has_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        left = tmp_path / "satchel-metrics-left"
        left.mkdir()
        for name in ("lock", "counter_1.db"):
            (left / name).touch()
        with metrics.shared_folder(2):
            assert [Path(os.environ[FOLDER])] == list(tmp_path.iterdir())

    def test_one_process_needs_none(self) -> None:
        with metrics.shared_folder(1):
            assert FOLDER not in os.environ

    def test_that_cannot_be_made_is_a_configuration_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        with (
            pytest.raises(ConfigurationError, match="TMPDIR: workers need a folder"),
            metrics.shared_folder(2),
        ):
            raise AssertionError("there is none")


@pytest.mark.slow
class TestWorkers:
    async def test_count_together_and_continue_after_a_replacement(
        self, database: URL, start_server: Callable[..., Server], tmp_path: Path
    ) -> None:
        own = {"LOG_LEVEL": "info", "TMPDIR": str(tmp_path)}
        environment = {**server_environment(database), **own}
        server = await asyncio.to_thread(start_server, environment, "--workers", "2")

        def read() -> str:
            return httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text

        def started() -> int:
            return server.log.read_text().count("startup complete")

        def drive() -> None:
            wait_until(lambda: started() == 2)
            for _ in range(20):
                httpx.get(f"{server.url}/accounts", timeout=PATIENCE)
            assert requests(read(), "GET", "/accounts", "200") == 20
            wait_until(lambda: figure(read(), "satchel_database_connections_max") == 20)
            cpu = figure(read(), "process_cpu_seconds_total") or 0
            children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
            workers = [
                int(pid) for pid in children.read_text().split()
                if "app.cli.commands" in Path(f"/proc/{pid}/cmdline").read_text()
            ]  # fmt: skip
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            wait_until(lambda: started() == 3)
            page = read()
            assert requests(page, "GET", "/accounts", "200") == 20
            assert (figure(page, "process_cpu_seconds_total") or 0) >= cpu
            wait_until(lambda: figure(read(), "satchel_database_connections_max") == 20)
            assert server.stop() == 0

        assert list(tmp_path.glob("satchel-metrics-*"))
        await asyncio.to_thread(drive)
        assert not list(tmp_path.glob("satchel-metrics-*"))
