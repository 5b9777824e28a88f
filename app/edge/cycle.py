"""Writes a response that is whole in one piece."""

import re
from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NAME: Final = re.compile(rb"[a-z0-9_-]+")
# They say how the rest of the response is sent, or whether another can follow.
_OF_CONNECTION: Final = {b"connection", b"transfer-encoding"}


class Cycle(RequestResponseCycle):
    """A request and its response.

    uvicorn writes the head when it comes, and examines each header. Here the head waits for the
    first piece of the body. If that is all of it, both are examined and written at once; any other
    response goes uvicorn's way.
    """

    _head: Any = None  # the message that waits

    async def send(self, message: Any) -> None:
        if not self.response_started and message["type"] == "http.response.start":
            self._head = message
            self.response_started = True
            self.waiting_for_100_continue = False
            return
        head, self._head = self._head, None
        if head is not None:
            response = self._whole(head, message)
            if response is not None:
                self.transport.write(response)
                self.response_complete = True
                self.message_event.set()
                self.on_response()
                return
            self.response_started = False
            await super().send(head)
        await super().send(message)

    def _whole(self, head: Any, message: Any) -> bytes | None:
        """The response, if all of it is here, and the connection can take it and stays open."""
        if (
            message["type"] != "http.response.body"
            or message.get("more_body")
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or self.access_log
            or self.scope["method"] == "HEAD"
        ):
            return None
        headers = [*self.default_headers, *head.get("headers", ())]
        values = dict(headers)
        body: bytes = message.get("body", b"")
        if (
            values.get(b"content-length") != b"%d" % len(body)
            or len(values) != len(headers)  # of two lengths, clients might take the other one
            or not _are_names(tuple(values))
        ):
            return None
        lines = [b": ".join(header) for header in headers]
        # Without control characters, no value can end its line. Others than those of ASCII may be
        # letters, or not printable: uvicorn decides.
        if not b"".join(lines).decode("latin-1").isprintable():
            return None
        return b"".join((STATUS_LINE[head["status"]], b"\r\n".join(lines), b"\r\n\r\n", body))


@lru_cache(maxsize=256)
def _are_names(names: tuple[bytes, ...]) -> bool:
    """Whether all are names of headers, and of none that decides how the response is sent."""
    return all(map(_NAME.fullmatch, names)) and _OF_CONNECTION.isdisjoint(names)
