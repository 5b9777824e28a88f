"""Request targets with a scheme and a host are read as RFC 9112 says, and others refused."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.api.conftest import Running
from tests.connections import Connection, head
from tests.edge.test_protocol import answer_path, serving
from tests.factories import account_body
from tests.responses import assert_problem
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

PATHS = {
    "http://a.test": "/",
    "HTTP://a.test:80": "/",
    "https://[::1]:8000/": "/",
    "http://a.test?x=1": "/",
    "http://a.test/livez?x=http://b.test/": "/livez",
    "http://a.test//livez": "//livez",
    "http://a.test:/x:y": "/x:y",
    "//a.test/livez": "//a.test/livez",
    "/livez?http://b.test": "/livez",
    "/%zz": "/%zz",
    "/%": "/%",
}
MALFORMED = [
    "http://", "http:///livez", "http://?x",  "http://a.test:65536/",
    "http://a.test:99999999999/", "http://a.test:x/", "http://[::1", "http://[::1/", "http://[zz]/",
    "http://%zz/", "http://a%/", "http://ada@a.test/", "http://ada:secret@a.test/", "ftp://a.test/",
    "http:/livez", "http:livez", "a.test:80", "livez", "?x", "x://",
]  # fmt: skip


async def seen(method: str, target: str) -> Scope:
    """What the application gets."""
    scopes: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answer_path(scope, receive, send)

    protocol, transport = serving(app)
    protocol.data_received(head(method, target))
    await until(lambda: transport.written)
    [scope] = scopes
    assert isinstance(scope, dict)
    return scope


class TestTarget:
    @pytest.mark.parametrize(("target", "path"), PATHS.items())
    async def test_has_a_path(self, target: str, path: str) -> None:
        assert (await seen("GET", target))["path"] == path

    async def test_without_a_path_of_options_is_the_server(self) -> None:
        assert (await seen("OPTIONS", "http://a.test"))["path"] == "*"
        assert (await seen("OPTIONS", "http://a.test?x"))["path"] == "/"

    async def test_names_the_host(self) -> None:
        scope = await seen("GET", "http://a.test:81/x?y")
        assert scope["headers"] == [(b"host", b"a.test:81")]
        assert scope["query_string"] == b"y"

    def test_of_a_server_that_runs(self, running: Running) -> None:
        with Connection(running.port) as connection:
            connection.send(head("GET", "http://x") + head("GET", "http://x/livez"))
            assert connection.receive().json()["message"] == "Hello World!"
            assert connection.receive().json() == {"status": "pass"}

    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    @pytest.mark.parametrize("target", MALFORMED)
    def test_that_is_malformed_is_refused_after_the_answers_that_are_owed(
        self, running: Running, target: str, method: str
    ) -> None:
        with Connection(running.port) as connection:
            connection.send(head("GET", "/livez") * 2 + head(method, target))
            for _ in range(2):
                assert connection.receive().json() == {"status": "pass"}
            assert_problem(connection.receive(), 400, "malformed_request", {})
            assert connection.ended()

    @pytest.mark.parametrize("target", MALFORMED)
    def test_that_is_malformed_is_refused_as_the_first(self, running: Running, target: str) -> None:
        with Connection(running.port) as connection:
            connection.send(head("GET", target) + account_body()["email"].encode())
            assert_problem(connection.receive(), 400, "malformed_request", {})
            assert connection.ended()
