"""Logs: their two formats, and what must not appear in them."""

import json
import logging
import logging.config
import re
from typing import Any, ClassVar

import httpx
import pytest
import structlog
import uvicorn.config
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from app.main import create_app
from app.telemetry import logs
from app.telemetry.logs import configure_logs
from tests.applications import client_of, make_settings, running_app
from tests.databases import execute
from tests.factories import account_body

pytestmark = pytest.mark.usefixtures("logs_restored")

Captured = pytest.CaptureFixture[str]


def json_lines(capsys: Captured) -> list[dict[str, Any]]:
    """The lines since the last call; each must be a JSON object."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def request_lines(capsys: Captured) -> list[dict[str, Any]]:
    """The lines of requests, without those of the client in this process."""
    return [line for line in json_lines(capsys) if line["logger"] == "satchel.request"]


class TestFormats:
    def test_json_has_one_object_per_line(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_format="json"))
        structlog.get_logger("satchel.test").warning("it\nhappened", number=1, text="ü\ud800")
        (line,) = json_lines(capsys)
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "it\nhappened",
            "level": "warning",
            "logger": "satchel.test",
            "number": 1,
            "text": "ü\ud800",
        }

    def test_a_logger_in_use_follows_a_new_configuration(self, capsys: Captured) -> None:
        log = structlog.get_logger("satchel.test")
        configure_logs(make_settings(log_format="console"))
        log.warning("first")
        configure_logs(make_settings(log_format="json"))
        capsys.readouterr()
        with capture_logs() as captured:
            log.warning("second")
        log.warning("third")
        assert [entry["event"] for entry in captured] == ["second"]
        assert [line["event"] for line in json_lines(capsys)] == ["third"]

    def test_json_is_ascii(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_format="json"))
        log = structlog.get_logger("satchel.test")
        log.warning("plain", error=LookupError("a"), number=1.5)
        log.warning("ü", error=LookupError("a"))
        written = capsys.readouterr().err
        assert written.isascii()
        plain, other = map(json.loads, written.splitlines())
        assert (plain["error"], plain["number"]) == (other["error"], 1.5)
        assert other["event"] == "ü"

    def test_console_is_text(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_format="console"))
        structlog.get_logger("satchel.test").warning("it happened", number=1)
        written = capsys.readouterr().err
        assert written.count("\n") == 1
        assert "it happened" in written
        assert "number=1" in written
        assert "\x1b" not in written  # colours only on a terminal

    @pytest.mark.parametrize("form", ["json", "console"])
    def test_lines_of_libraries_have_the_same_format(self, capsys: Captured, form: str) -> None:
        configure_logs(make_settings(log_format=form))
        logging.getLogger("somebody.else").warning("%s of %s", 1, 2)
        structlog.get_logger("somebody.else").warning("1 of 2")
        theirs, ours = capsys.readouterr().err.splitlines()
        if form == "json":
            assert json.loads(theirs).keys() == json.loads(ours).keys()
        assert "1 of 2" in theirs
        assert len(theirs) == len(ours)

    def test_the_level_applies_to_all_loggers(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_level="error"))
        for name in ("satchel.test", "uvicorn.error", "somebody.else"):
            logging.getLogger(name).warning("no")
            structlog.get_logger(name).warning("no")
            logging.getLogger(name).error("yes")
        assert [line["event"] for line in json_lines(capsys)] == ["yes"] * 3

    def test_configuring_twice_writes_each_line_once(self, capsys: Captured) -> None:
        for _ in range(2):
            configure_logs(make_settings())
        logging.getLogger("somebody.else").error("once")
        assert len(json_lines(capsys)) == 1

    def test_only_upgrades_of_alembic_are_logged(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_level="info"))
        alembic = logging.getLogger("alembic.runtime.migration")
        alembic.info("Will assume %s DDL.", "transactional")
        alembic.info("Running %s", "upgrade  -> 0001")
        assert [line["event"] for line in json_lines(capsys)] == ["Running upgrade  -> 0001"]


class TestShortWay:
    """`info` builds JSON lines at once; the processors, run one after the other, give the same."""

    SHAPES: ClassVar[dict[str, dict[str, Any]]] = {
        "plain": {},
        "problem": {"problem": "not_found"},
        "all": {"problem": "not_found", "principal": "key:ci", "trace_id": "4bf92f35"},
        "no route": {"route": None, "status": 0},
        "not ASCII": {"principal": "jwt:Zoë \U0001f600"},
        "escapes": {"principal": 'a"b\\c\n\x00\x7f'},
        "lone surrogate": {"principal": "a\ud800"},
        "objects": {"error": LookupError("a"), "at": {"b": [1, None, True]}, "ratio": 1e300},
        "exception": {"exc_info": LookupError("a")},
    }

    @pytest.mark.parametrize("shape", SHAPES)
    def test_gives_the_same_line_as_the_processors(self, capsys: Captured, shape: str) -> None:
        configure_logs(make_settings(log_level="info", log_format="json"))
        request: dict[str, Any] = {
            "method": "GET",
            "route": "/accounts/{account_id}",
            "status": 200,
            "ms": 1.25,
            "statements": 1,
            "request_id": "0123456789abcdef",
            **self.SHAPES[shape],
        }
        log = structlog.get_logger("satchel.request")
        log.info("request", **request)
        log._proxy_to_logger("info", "request", **request)
        log.bind(**request).info("request")
        written = re.sub(r'("timestamp": ?)"[^"]*"', r"\1", capsys.readouterr().err)
        short, long, bound = written.splitlines()
        assert short == long == bound

    def test_writes_what_it_always_wrote(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_level="info", log_format="json"))
        log = structlog.get_logger("satchel.request")
        log.info("request", method="GET", route=None, ms=1.0, principal="key:ci")
        assert re.fullmatch(
            r'{"method":"GET","route":null,"ms":1.0,"principal":"key:ci","event":"request",'
            r'"level":"info","logger":"satchel.request",'
            r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"}\n',
            capsys.readouterr().err,
        )

    def test_obeys_the_level(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_level="warning", log_format="json"))
        structlog.get_logger("satchel.request").info("request")
        assert capsys.readouterr().err == ""

    def test_is_not_taken_while_a_test_captures_logs(self, capsys: Captured) -> None:
        configure_logs(make_settings(log_level="info", log_format="json"))
        log = structlog.get_logger("satchel.request")
        log.info("first")
        with capture_logs() as captured:
            log.info("second", status=200)
        log.info("third")
        assert captured == [{"event": "second", "status": 200, "log_level": "info"}]
        assert [line["event"] for line in json_lines(capsys)] == ["first", "third"]

    def test_writes_the_time_of_each_line(
        self, capsys: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure_logs(make_settings(log_level="info", log_format="json"))
        log = structlog.get_logger("satchel.request")
        instants = [0, 999_999_999, 1_000_000_000, 951_782_400_000_001_000, 1_000]
        for instant in instants:
            monkeypatch.setattr(logs, "time_ns", lambda instant=instant: instant)
            log.info("request")
        assert [line["timestamp"] for line in json_lines(capsys)] == [
            "1970-01-01T00:00:00.000000Z",
            "1970-01-01T00:00:00.999999Z",
            "1970-01-01T00:00:01.000000Z",
            "2000-02-29T00:00:00.000001Z",
            "1970-01-01T00:00:00.000001Z",
        ]


class TestExceptions:
    @pytest.mark.parametrize("form", ["json", "console"])
    def test_have_a_traceback_without_variables(self, capsys: Captured, form: str) -> None:
        configure_logs(make_settings(log_format=form))
        secret = "hunter" + str(2)
        try:
            raise LookupError("first line\nand " + secret)
        except LookupError:
            structlog.get_logger("satchel.test").exception("it failed")
        written = capsys.readouterr().err
        assert "it failed" in written
        assert "test_have_a_traceback_without_variables" in written
        assert "LookupError: first line" in written
        assert "Logging error" not in written
        assert secret not in written

    def test_without_a_message_are_logged_too(self, capsys: Captured) -> None:
        configure_logs(make_settings())
        try:
            raise TimeoutError
        except TimeoutError:
            logging.getLogger("somebody.else").exception("it failed")
        (line,) = json_lines(capsys)
        assert line["exception"].endswith("\nTimeoutError")

    async def test_of_the_database_do_not_repeat_the_row(
        self, capsys: Captured, database: URL
    ) -> None:
        configure_logs(make_settings())
        insert = (
            "INSERT INTO accounts (id, email, email_key, username)"
            " VALUES (gen_random_uuid(), 'me@b.example', 'me', '')"
        )
        with pytest.raises(IntegrityError, match=r"me@b\.example") as caught:
            await execute(database, insert)
        structlog.get_logger("satchel.test").error("it failed", exc_info=caught.value)
        (line,) = json_lines(capsys)
        assert "ck_accounts_username_length" in line["exception"]
        assert "me@b.example" not in line["exception"]


class TestRequests:
    @pytest.fixture
    def settings(self) -> Any:
        return make_settings(log_level="info")

    async def test_have_one_line_each(self, capsys: Captured, client: httpx.AsyncClient) -> None:
        capsys.readouterr()
        configure_logs(make_settings(log_level="info"))
        answer = await client.get("/accounts?limit=1", headers={"X-Request-ID": "mine"})
        assert answer.status_code == 200
        (line,) = request_lines(capsys)
        assert line.pop("timestamp")
        assert line.pop("ms") > 0
        assert line == {
            "event": "request",
            "level": "info",
            "logger": "satchel.request",
            "method": "GET",
            "route": "/accounts",
            "status": 200,
            "statements": 1,
            "request_id": "mine",
        }

    async def test_show_nothing_that_clients_sent(
        self, capsys: Captured, client: httpx.AsyncClient
    ) -> None:
        configure_logs(make_settings(log_level="debug", debug=True))
        body = account_body(email="secret@example.com", username="secret")
        assert (await client.post("/accounts", json=body)).status_code == 201
        assert (await client.post("/accounts", json=body)).status_code == 409
        await client.get("/accounts?email=secret@example.com")
        await client.get("/accounts?secret=1")
        await client.get("/secret/secret@example.com?secret=1")
        lines = request_lines(capsys)
        assert [line["status"] for line in lines] == [201, 409, 200, 422, 404]
        assert "secret" not in json.dumps(lines)

    async def test_that_fail_show_nothing_that_clients_sent(
        self, capsys: Captured, database: URL
    ) -> None:
        async with running_app(database) as application, client_of(application) as client:
            # An unexpected error, whose message from PostgreSQL contains the whole row.
            await execute(database, "ALTER TABLE accounts ADD CHECK (username <> 'secret')")
            capsys.readouterr()
            configure_logs(make_settings(log_level="info"))
            body = account_body(email="secret@example.com", username="secret")
            assert (await client.post("/accounts", json=body)).status_code == 500
        failed, request = [
            line for line in json_lines(capsys) if line["logger"] == "satchel.request"
        ]
        assert failed["event"] == "request failed"
        assert request["event"] == "request"
        assert "accounts_username_check" in failed["exception"]
        assert "secret" not in json.dumps([failed, request])


class TestStatements:
    @pytest.mark.parametrize("debug", [True, False])
    async def test_are_logged_without_values_if_debug_is_on(
        self, capsys: Captured, database: URL, debug: bool
    ) -> None:
        async with running_app(database, debug=debug) as application:
            capsys.readouterr()
            async with client_of(application) as client:
                await client.post("/accounts", json=account_body(email="secret@example.com"))
        lines = [line for line in json_lines(capsys) if line["logger"] == "satchel.sql"]
        assert bool(lines) is debug
        for line in lines:
            assert "INSERT INTO accounts" in line["statement"]
            assert "secret" not in line["statement"]


class TestUvicorn:
    def test_its_handlers_and_access_log_are_removed(self, capsys: Captured) -> None:
        # What the command `uvicorn` does before it makes the application.
        logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
        create_app(make_settings())
        logging.getLogger("uvicorn.error").info("below the least level")
        logging.getLogger("uvicorn.error").warning("kept")
        logging.getLogger("uvicorn.access").warning("GET /accounts?email=secret@example.com")
        assert [line["event"] for line in json_lines(capsys)] == ["kept"]
