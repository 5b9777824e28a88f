"""A load generator: clients that repeat requests and record the outcome of each."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.waiting import finish, until


@dataclass
class LoadGenerator:
    """The outcomes of requests: responses by status, refused connections, and the errors of
    requests that were sent and got no complete response.
    """

    port: int
    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    closed: int = 0  # responses with `Connection: close`
    stopped: bool = False

    async def answered(self, times: int, status: int = 200) -> None:
        """Return after so many more responses with this status."""
        wanted = self.statuses[status] + times
        await until(lambda: self.statuses[status] >= wanted, f"no response has the status {status}")

    def _stops(self) -> bool:
        return self.stopped

    async def client(self, request: bytes | Callable[[], bytes]) -> None:
        """Repeat a request until stopped, on a new connection whenever the last one closes."""
        while not self._stops():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.02)
                continue
            good = True
            while good and not self._stops():
                sent = request if isinstance(request, bytes) else request()
                good = await self._send(reader, writer, sent)
            writer.close()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> bool:
        """Whether the connection stays open for another request."""
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.lost.append(repr(error))
            return False
        self.statuses[int(head[9:12])] += 1
        closes = b"connection: close" in head
        self.closed += closes
        return not closes


@contextlib.asynccontextmanager
async def load_on(
    port: int, *requests: bytes | Callable[[], bytes], clients: int = 8
) -> AsyncIterator[LoadGenerator]:
    """Run so many clients for each request while the block runs."""
    load = LoadGenerator(port)
    tasks = [asyncio.create_task(load.client(r)) for r in requests for _ in range(clients)]
    try:
        yield load
    finally:
        load.stopped = True
        await finish(tasks, "a request neither gets a response nor fails")


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: satchel.test\r\n\r\n".encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return (
        f"POST {path} HTTP/1.1\r\nHost: satchel.test\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{head}\r\n"
    ).encode() + body
