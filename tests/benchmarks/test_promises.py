"""The checks of the promises: whoever keeps them passes, whoever breaks one does not."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.answers import WrongAnswerError
from benchmarks.client import Answer, Client
from benchmarks.contestants.registry import CONTESTANTS, SATCHEL
from benchmarks.data import Amount
from benchmarks.postgres import running_postgres
from benchmarks.prepare import make_databases
from benchmarks.promises import check_promises, reads
from benchmarks.server import Server, headers_of, running_servers

pytestmark = pytest.mark.slow
OPERATIONS = ("get", "list", "filter", "create", "change", "mixed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("promises")
    with running_postgres(folder / "pg") as postgres:
        make_databases(postgres, [SATCHEL], Amount(100, 0), folder)
        with running_servers([SATCHEL], postgres, 1, folder) as (server,):
            server.wait_until_ready()
            yield server


@pytest.mark.parametrize("operation", OPERATIONS)
def test_satchel_keeps_them(server: Server, operation: str) -> None:
    check_promises(operation, server.client, server.log)


class Spoiled(Client):
    """A server that ignores a header of requests, or spoils its answers."""

    def __init__(
        self, server: Server, ignored: str = "", spoil: Callable[[Answer], Answer] = lambda a: a
    ) -> None:
        super().__init__(server.port, headers_of(SATCHEL, server.log.parent))
        self._ignored = ignored
        self._spoil = spoil

    def ask(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        kept = {k: v for k, v in (headers or {}).items() if k.lower() != self._ignored}
        return self._spoil(super().ask(method, path, body, kept))


@pytest.mark.parametrize(
    ("operation", "ignored"),
    [
        ("get", "authorization"),
        ("get", "x-request-id"),
        ("get", "if-none-match"),
        ("get", "if-match"),
        ("create", "idempotency-key"),
        ("change", "if-match"),
        ("change", "if-none-match"),
    ],
)
def test_a_header_that_is_ignored_is_found(server: Server, operation: str, ignored: str) -> None:
    with pytest.raises(WrongAnswerError):
        check_promises(operation, Spoiled(server, ignored), server.log)


def without(name: str) -> Callable[[Answer], Answer]:
    def spoil(answer: Answer) -> Answer:
        kept = {key: value for key, value in answer.headers.items() if key != name}
        return Answer(answer.status, kept, answer.body)

    return spoil


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("get", "www-authenticate"),
        ("get", "x-request-id"),
        ("get", "x-content-type-options"),
        ("get", "cache-control"),
        ("get", "etag"),
        ("get", "allow"),
        ("list", "link"),
        ("create", "location"),
        ("create", "etag"),
        ("create", "idempotency-replayed"),
        ("change", "etag"),
    ],
)
def test_a_header_that_is_missing_is_found(server: Server, operation: str, name: str) -> None:
    with pytest.raises(WrongAnswerError):
        check_promises(operation, Spoiled(server, spoil=without(name)), server.log)


def plain_json(answer: Answer) -> Answer:
    kind = answer.headers.get("content-type", "").replace("problem+json", "json")
    return Answer(answer.status, {**answer.headers, "content-type": kind}, answer.body)


def no_faults(answer: Answer) -> Answer:
    if b'"errors"' not in answer.body:
        return answer
    return Answer(answer.status, answer.headers, json.dumps({**answer.json, "errors": []}).encode())


def no_histograms(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers, answer.body.replace(b"_bucket", b"_sum"))


def lenient(answer: Answer) -> Answer:
    status = 200 if answer.status in (400, 422) else answer.status
    return Answer(status, answer.headers, answer.body)


@pytest.mark.parametrize(
    ("operation", "spoil"),
    [
        *((operation, plain_json) for operation in ("get", "list", "create", "change")),
        *((operation, lenient) for operation in ("get", "list", "create", "change")),
        *((operation, no_faults) for operation in ("list", "create")),
        ("get", no_histograms),
    ],
)
def test_spoiled_answers_are_found(
    server: Server, operation: str, spoil: Callable[[Answer], Answer]
) -> None:
    with pytest.raises(WrongAnswerError):
        check_promises(operation, Spoiled(server, spoil=spoil), server.log)


def test_a_request_without_a_log_line_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LINE_SECONDS", 0.1)
    (tmp_path / "log").write_text("{}\n")
    with pytest.raises(WrongAnswerError, match="log lines"):
        check_promises("get", server.client, tmp_path / "log")


def test_bodies_with_a_key_twice_must_be_refused(server: Server) -> None:
    class Tolerant(Spoiled):
        def ask(
            self,
            method: str,
            path: str,
            body: str | None = None,
            headers: Mapping[str, str | None] | None = None,
        ) -> Answer:
            if body is not None and body.count('"username"') == 2:
                body = json.dumps(json.loads(body))
            return super().ask(method, path, body, headers)

    with pytest.raises(WrongAnswerError):
        check_promises("create", Tolerant(server), server.log)


def test_satchel_and_one_peer_are_asked_for_them() -> None:
    promising = [one.name for one in CONTESTANTS if one.promises]
    assert promising == ["satchel", "fastify_promises"]
