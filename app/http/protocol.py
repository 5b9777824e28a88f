"""uvicorn's HTTP protocol, except that an offered upgrade is ignored and the body read."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class IgnoreUpgradeProtocol(HttpToolsProtocol):
    """Java's HttpClient offers `Upgrade: h2c` with its first request. The parser stops behind the
    head of such a request and its body would be lost; here the head is parsed again without the
    offer. Other requests pay for one question to the parser.
    """

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(head + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [t for t in value.split(b",") if t.strip().lower() not in _UPGRADE_TOKENS]
                lines.append(b"connection:" + b",".join(kept))
            elif name not in _UPGRADE_HEADERS:
                lines.append(name + b": " + value)
        return b"\r\n".join(lines) + b"\r\n\r\n"


_UPGRADE_TOKENS = {b"upgrade", b"http2-settings"}
_UPGRADE_HEADERS = {b"upgrade", b"http2-settings"}
