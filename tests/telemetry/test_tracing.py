"""Traces continue those of clients, and have spans for statements but no values."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from sqlalchemy import URL

from app.config import ConfigurationError
from app.main import create_app
from app.telemetry import spans, tracing
from tests.applications import client_of, make_settings, running_app
from tests.collector import Collector, running_collector
from tests.databases import execute
from tests.factories import account_body, create_account
from tests.servers import free_port
from tests.waiting import PATIENCE, until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{CLIENT}-01", "tracestate": "vendor=secret"}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("logs_restored")]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: one.value.int_value or one.value.string_value for one in span.attributes}


def of_kind(collector: Collector, kind: Span.SpanKind.ValueType) -> list[Span]:
    return [span for span in collector.spans() if span.kind == kind]


@asynccontextmanager
async def traced_client(database: URL, collector: Collector) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application; all spans are sent at the end of the block."""
    endpoint = collector.url
    async with (
        running_app(database, otel_exporter_otlp_endpoint=endpoint) as application,
        client_of(application) as client,
    ):
        yield client


class TestRequest:
    async def test_continues_the_clients_trace(self, database: URL, collector: Collector) -> None:
        async with running_app(
            database, otel_exporter_otlp_endpoint=f"{collector.url}/"
        ) as application:
            async with client_of(application) as client:
                answer = await client.get("/accounts?email=secret@example.com", headers=SENT)
            assert answer.status_code == 200
        assert collector.paths == {"/v1/traces"}
        assert collector.services() == {"satchel"}
        ours = [span for span in collector.spans() if span.trace_id.hex() == TRACE]
        (request,) = [span for span in ours if span.kind == Span.SPAN_KIND_SERVER]
        (statement,) = [span for span in ours if span.kind == Span.SPAN_KIND_CLIENT]
        assert request.parent_span_id.hex() == CLIENT
        assert statement.parent_span_id == request.span_id
        assert request.name == "GET /accounts"
        assert attributes(request) == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/accounts",
            "network.protocol.version": "1.1",
            "url.scheme": "http",
        }
        assert attributes(statement)["db.statement"].startswith("SELECT")
        assert b"secret" not in b"".join(collector.bodies)

    async def test_has_its_trace_id_in_the_log(
        self, database: URL, collector: Collector, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with (
            running_app(
                database, otel_exporter_otlp_endpoint=collector.url, log_level="info"
            ) as application,
            client_of(application) as client,
        ):
            await client.get("/livez")
            await client.get("/livez", headers=SENT)
        lines = [line for line in capsys.readouterr().err.splitlines() if "/livez" in line]
        own, continued = [line for line in lines if '"event":"request"' in line]
        assert TRACE in continued
        traces = {span.trace_id.hex() for span in of_kind(collector, Span.SPAN_KIND_SERVER)}
        assert TRACE in traces
        assert any(trace in own for trace in traces - {TRACE})

    async def test_is_not_traced_if_the_client_does_not_sample(
        self, database: URL, collector: Collector
    ) -> None:
        async with traced_client(database, collector) as client:
            await client.get("/accounts", headers={"traceparent": f"00-{TRACE}-{CLIENT}-00"})
        assert TRACE not in {span.trace_id.hex() for span in collector.spans()}

    async def test_that_fails_shows_no_values(self, database: URL, collector: Collector) -> None:
        async with running_app(database, otel_exporter_otlp_endpoint=collector.url) as application:
            # An unexpected error, whose message from PostgreSQL contains the whole row.
            await execute(database, "ALTER TABLE accounts ADD CHECK (username <> 'secret')")
            async with client_of(application) as client:
                body = account_body(email="secret@example.com", username="secret")
                answer = await client.post("/accounts", json=body)
                assert answer.status_code == 500
                await client.get("/secret/secret")
        failed = [
            span for span in collector.spans() if span.status.code == Status.STATUS_CODE_ERROR
        ]
        kinds = {span.kind for span in failed}
        assert kinds == {Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT}
        # Some messages of PostgreSQL quote the value.
        assert {span.status.message for span in failed} == {""}
        assert b"secret" not in b"".join(collector.bodies)

    async def test_shares_the_statement_of_a_read_with_concurrent_ones(
        self, database: URL, collector: Collector
    ) -> None:
        async with traced_client(database, collector) as client:
            path = f"/accounts/{(await create_account(client))['id']}"
            await asyncio.gather(*(client.get(path) for _ in range(10)))
        requests = {span.span_id: span for span in of_kind(collector, Span.SPAN_KIND_SERVER)}
        reads = [
            span
            for span in of_kind(collector, Span.SPAN_KIND_CLIENT)
            if "WHERE accounts.id = " in attributes(span)["db.statement"]
        ]
        assert 0 < len(reads) < 10
        assert len({span.parent_span_id for span in reads}) == len(reads)
        for read in reads:
            parent = requests[read.parent_span_id]
            assert parent.trace_id == read.trace_id
            assert parent.start_time_unix_nano <= read.start_time_unix_nano
            assert parent.end_time_unix_nano >= read.end_time_unix_nano


class TestCollector:
    @pytest.fixture
    def short_timeout(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(spans, "FLUSH_TIMEOUT_SECONDS", 0.2)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        yield
        for thread in threading.enumerate():  # else it would log during other tests
            if thread.name == "last-traces":
                thread.join(PATIENCE)

    @pytest.mark.usefixtures("short_timeout")
    async def test_that_is_unreachable_delays_no_request(
        self, database: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        away = f"http://127.0.0.1:{free_port()}"
        async with (
            running_app(database, otel_exporter_otlp_endpoint=away) as application,
            client_of(application) as client,
        ):
            assert (await client.get("/accounts")).status_code == 200

    @pytest.mark.usefixtures("short_timeout")
    async def test_that_hangs_delays_neither_requests_nor_shutdown(
        self, database: URL, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        collector.let_go.clear()
        try:
            async with (
                asyncio.timeout(PATIENCE),
                traced_client(database, collector) as client,
            ):
                await client.get("/accounts")
                await until(lambda: collector.bodies)  # it has not responded yet
                for _ in range(20):
                    assert (await client.get("/accounts")).status_code == 200
            assert "last-traces" in {thread.name for thread in threading.enumerate()}
        finally:
            collector.let_go.set()

    async def test_gets_the_configured_service_name(
        self, database: URL, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        async with traced_client(database, collector) as client:
            await client.get("/livez")
        assert collector.services() == {"shop"}


class TestSettings:
    async def test_without_a_collector_tracing_is_off(self) -> None:
        application = create_app(make_settings())
        assert application.state.tracing is None
        async with client_of(application) as client:
            assert (await client.get("/livez", headers=SENT)).status_code == 200

    def test_otel_sdk_disabled_turns_it_off(self) -> None:
        off = make_settings(otel_exporter_otlp_endpoint="http://c:4318", otel_sdk_disabled=True)
        assert create_app(off).state.tracing is None

    def test_without_the_libraries_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(name: str) -> Any:
            raise ImportError(name)

        monkeypatch.setattr(tracing, "import_module", refuse)
        settings = make_settings(otel_exporter_otlp_endpoint="http://c:4318")
        with pytest.raises(ConfigurationError, match=r"pip install '\.\[tracing\]'"):
            create_app(settings)

    @pytest.mark.parametrize("name", ["otel_exporter_otlp_endpoint", "otel_exporter_otlp_protocol"])
    @pytest.mark.parametrize("value", ["grpc", "collector:4317", "http://"])
    def test_wrong_ones_are_refused(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=name):
            make_settings(**{name: value})
