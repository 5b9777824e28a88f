"""The harness's own requests: one connection each, JSON and forms."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

Fields = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """The names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Errors: ValueError."""
        return json.loads(self.body)


class Client:
    """Talks to one server on this machine."""

    def __init__(self, port: int, headers: Fields | None = None, timeout: float = 10) -> None:
        self._port = port
        self._timeout = timeout
        self._headers = headers or {}

    def ask(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """`headers` come over those of every request; None leaves one of these out."""
        sent = {**self._headers, **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        try:
            given = {name: value for name, value in sent.items() if value is not None}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, received, answer.read())
        finally:
            connection.close()

    def send(
        self, method: str, path: str, fields: Fields | None = None, *, form: bool = False
    ) -> tuple[int, bytes]:
        headers, body = {}, None
        if fields is not None:
            kind = "x-www-form-urlencoded" if form else "json"
            headers = {"Content-Type": f"application/{kind}"}
            body = urlencode(fields) if form else json.dumps(fields)
        answer = self.ask(method, path, body, headers)
        return answer.status, answer.body

    def get_json(self, path: str) -> Any:
        """Errors: ValueError for any answer but JSON with 200."""
        status, body = self.send("GET", path)
        if status != 200:
            raise ValueError(f"GET {path} answered {status}: {body[:200]!r}")
        return json.loads(body)
