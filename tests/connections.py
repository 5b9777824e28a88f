"""Raw connections to a server, without an HTTP client that corrects requests."""

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import httpx

from tests.waiting import PATIENCE


def head(method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The head of a request, encoded in Latin-1, so that any byte can be sent."""
    lines = [f"{method} {target} HTTP/1.1", "Host: satchel.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """A raw connection to a local server, without an HTTP client that corrects requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._answers.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_apart(self, *pieces: bytes) -> None:
        """Send pieces so that the server reads each of them separately: after each piece it
        responds to a later request on another connection. The server must be one process.
        """
        with Connection(self._port) as other:
            for piece in pieces:
                self.send(piece)
                other.send(head("GET", "/livez"))
                assert other.receive().status_code == 200

    def receive_interim(self) -> int:
        """The status of the next response, which must be an interim one."""
        status, _ = self._receive_head()
        assert status < 200
        return status

    def receive(self, method: str = "GET") -> httpx.Response:
        """The next response, which must be a final one."""
        status, headers = self._receive_head()
        assert status >= 200
        answer = httpx.Response(status, headers=headers)
        bodiless = method == "HEAD" or status in (204, 304)
        length = 0 if bodiless else int(answer.headers["content-length"])
        return httpx.Response(status, headers=headers, content=self._answers.read(length))

    def _receive_head(self) -> tuple[int, list[tuple[str, str]]]:
        status = int(self._answers.readline().split()[1])
        headers = []
        while line := self._answers.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return status, headers

    def ended(self) -> bool:
        """Whether the server closes the connection and sends nothing before."""
        return self._answers.read(1) == b""


def exchange(port: int, request: bytes, method: str = "GET") -> httpx.Response:
    """The response to one request on a connection of its own."""
    with Connection(port) as connection:
        connection.send(request)
        return connection.receive(method)
