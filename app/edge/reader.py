"""Reads requests from a connection: gives the parser data in pieces, and counts heads, trailers and
requests that wait.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.edge.heads import check_head, split_target
from app.errors import HeadTooLarge, MalformedRequest, Problem, TargetTooLong

# The parser itself has no limits.
MAX_HEAD_SIZE: Final = 65_536
MAX_TRAILERS_SIZE: Final = 8_192
# Requests of a connection that wait for the one in flight.
MAX_WAITING: Final = 100

_BLANK_LINE: Final = b"\r\n\r\n"
_CHUNKED_PIECE: Final = 1_024

# The part of a request that is arriving. Integers, since each access to an Enum's member costs.
NOTHING, HEAD, BODY = range(3)


class RequestReader(HttpToolsProtocol):
    """The parser does not say where in its data a head or a trailer begins or ends. So it is given
    pieces that end at the next blank line. Then no piece has more than one head, which ends where
    the piece ends. Nearly all requests are one piece, or two with a body.

    Java's HttpClient offers `Upgrade: h2c` with its first request. The parser stops after the head
    of such a request, and its body would be lost. So the head is parsed again without the offer.
    """

    _arriving: int = NOTHING
    _unparsed = b""  # what came after the last request that may wait
    _piece = b""
    _begin = 0  # where a head begins in the piece: after the end of an earlier body
    _head = b""  # what earlier pieces have of an open head
    _seam = b""  # the last bytes of the last piece, if a blank line may be divided there
    _chunked = False
    _after_chunk_header = False  # the data of the chunk comes next, or trailers
    _trailers_size = 0
    _has_received = False  # of a body, since this was reset

    def _read(self, data: bytes) -> None:
        """Parse until too many requests wait. Errors: HttpParserError, Problem."""
        start = 0
        while start < len(data):
            if len(self.pipeline) >= MAX_WAITING:
                self._unparsed = data[start:]
                return
            end = self._end_of_piece(data, start)
            self._parse(data[start:end])
            start = end

    def _end_of_piece(self, data: bytes, start: int) -> int:
        if self._seam:
            seam = self._seam + data[start : start + 3]
            if (found := seam.find(_BLANK_LINE)) >= 0:
                return start + found + len(_BLANK_LINE) - len(self._seam)
        found = data.find(_BLANK_LINE, start)
        end = len(data) if found < 0 else found + len(_BLANK_LINE)
        # Trailers are counted by pieces.
        return min(end, start + _CHUNKED_PIECE) if self._chunked else end

    def _parse(self, piece: bytes) -> None:
        if self._after_chunk_header:
            self._trailers_size += len(piece)
            if self._trailers_size > MAX_TRAILERS_SIZE:
                raise HeadTooLarge("The trailer fields are too large: at most 8 KiB.")
        self._piece, self._begin = piece, 0
        chunked = self._chunked
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            head = self._head_without_upgrade()
            self._head = b""
            self._renew_parser()
            self._parse(head)
            return
        self._seam = piece[-3:] if self._chunked or self._arriving == HEAD else b""
        if self._arriving == HEAD:
            self._head = self._open_head()
            if len(self._head) > MAX_HEAD_SIZE:
                raise self._too_large()
        elif chunked and self._arriving == NOTHING:
            self._renew_parser()  # it would obey a trailer `Connection: close`
        self._piece = b""

    def _open_head(self) -> bytes:
        """What has arrived of the head."""
        head = self._piece[self._begin :]
        return (self._head + head if self._head else head).lstrip(b"\r\n")

    def _renew_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn does: data after the last request of a connection is ignored.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":  # it asks for a tunnel, which is not an offer
            raise MalformedRequest
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + _BLANK_LINE

    def _take_absolute_target(self) -> None:
        host, self.url = split_target(self.url, self.parser.get_method())
        self.headers[:] = [
            (name, host if name == b"host" else value) for name, value in self.headers
        ]

    def _too_large(self) -> Problem:
        return TargetTooLong() if len(self.url) > MAX_HEAD_SIZE // 2 else HeadTooLarge()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        self._arriving = HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        head = self._open_head()
        if len(head) > MAX_HEAD_SIZE:
            raise self._too_large()
        chunked = check_head(head, self.headers)
        if not self.url.startswith((b"/", b"*")):
            self._take_absolute_target()
        if self.parser.should_upgrade():
            return
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # HTTP/1.0 has no interim responses
        super().on_headers_complete()
        self._head = b""
        self._arriving = BODY
        self._chunked = chunked
        self.headers = []  # fields that follow are trailers, and the request has its headers

    def on_chunk_header(self) -> None:
        self._after_chunk_header = True

    def on_body(self, body: bytes) -> None:
        self._begin += len(body)
        self._has_received = True
        self._after_chunk_header = False
        self._trailers_size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._arriving = NOTHING
            self._chunked = self._after_chunk_header = False
            self._trailers_size = 0
            super().on_message_complete()
