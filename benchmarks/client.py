"""The harness's own requests: one connection, JSON and forms."""

import http.client
import json
from typing import Any
from urllib.parse import urlencode

Fields = dict[str, str]


class Client:
    """Talks to one server on this machine."""

    def __init__(self, port: int, headers: Fields | None = None, timeout: float = 10) -> None:
        self._port = port
        self._timeout = timeout
        self._headers = headers or {}

    def send(
        self, method: str, path: str, fields: Fields | None = None, *, form: bool = False
    ) -> tuple[int, bytes]:
        headers, body = self._headers, None
        if fields is not None:
            kind = "x-www-form-urlencoded" if form else "json"
            headers = {**headers, "Content-Type": f"application/{kind}"}
            body = urlencode(fields) if form else json.dumps(fields)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get_json(self, path: str) -> Any:
        """Errors: ValueError for any answer but JSON with 200."""
        status, body = self.send("GET", path)
        if status != 200:
            raise ValueError(f"GET {path} answered {status}: {body[:200]!r}")
        return json.loads(body)
