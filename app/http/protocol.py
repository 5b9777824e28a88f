"""uvicorn's HTTP protocol, except that an offered upgrade is ignored and the body read."""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# The parser itself would collect a request line and headers without end.
MAX_HEAD_SIZE: Final = 65_536


class IgnoreUpgradeProtocol(HttpToolsProtocol):
    """Java's HttpClient offers `Upgrade: h2c` with its first request. The parser stops behind the
    head of such a request and its body would be lost; here the head is parsed again without the
    offer. Other requests pay for one question to the parser.
    """

    _open_head: int | None = None  # bytes so far of a head whose end has not come yet

    def on_message_begin(self) -> None:
        self._open_head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._open_head = None
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _parse(self, data: bytes) -> bytes:
        """Parse, and return what is to be parsed again."""
        head_was_open = self._open_head is not None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # As uvicorn does: what follows the last request of a connection spoils no answer.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + data[upgrade.args[0] :]
        if head_was_open and self._open_head is not None:
            self._open_head += len(data)
            if self._open_head > MAX_HEAD_SIZE:
                raise httptools.HttpParserError
        return b""

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":  # no offer to refuse: it asks for a tunnel
            raise httptools.HttpParserError
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"
