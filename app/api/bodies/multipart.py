"""Splits `multipart/form-data` bodies into their parts (RFC 2046, 5.1; RFC 7578)."""

import base64
import re
from binascii import a2b_qp
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from app.errors import MalformedBody

MAX_PARTS: Final = 100
MAX_PART_HEADERS: Final = 4 * 1024

# What may follow a boundary on its line. Any other line that begins with one is malformed, since
# readers differ in what they take it for.
_OPENING = re.compile(rb"[ \t]*\r\n")
_CLOSING = re.compile(rb"--[ \t]*(?:\r\n|\Z)")
_BOUNDARY = re.compile(rb"[ -~]{0,69}[!-~]")
_FOLD = re.compile(rb"\r\n[ \t]+")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*)")
_VALUE = re.compile(rb"[ \t]*([^\s;]+)")
_PARAMETER = re.compile(
    rb'[ \t]*;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.DOTALL
)
_END = re.compile(rb"[ \t]*;?[ \t]*")
_ESCAPED_QUOTE = re.compile(rb'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Part:
    name: bytes
    content: bytes
    is_file: bool


def split_multipart(raw: bytes, content_type: str) -> list[Part]:
    """The parts of a body. Errors: MalformedBody."""
    _, options = _parse_options(content_type.encode("latin-1"))
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedBody("The Content-Type names no boundary of 1 to 70 characters.")
    # The line break before a boundary belongs to it. What is before the first boundary and after
    # the closing one is no part.
    _, *pieces = (b"\r\n" + raw).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    closing = next((n for n, piece in enumerate(pieces) if _CLOSING.match(piece)), None)
    if closing is None:
        if len(pieces) > MAX_PARTS:
            raise MalformedBody("The form has more than 100 fields.")
        raise MalformedBody("The multipart body ends before its closing boundary.")
    return [_read_part(piece) for piece in pieces[:closing]]


def _read_part(piece: bytes) -> Part:
    opening = _OPENING.match(piece)
    if opening is None:
        raise MalformedBody("A line begins with the boundary and goes on.")
    # The line break that ends the boundary is kept: without headers, the empty line follows it.
    head, blank, content = piece[opening.end() - 2 :].partition(b"\r\n\r\n")
    if not blank and not head.endswith(b"\r\n"):
        raise MalformedBody
    if len(head) > MAX_PART_HEADERS:
        raise MalformedBody("The headers of a part are larger than 4 KiB.")
    headers = _parse_headers(head)
    disposition, options = _parse_options(headers.get(b"content-disposition", b""))
    if disposition != b"form-data" or b"name" not in options:
        raise MalformedBody("Each part needs a Content-Disposition of form-data with a name.")
    coding = headers.get(b"content-transfer-encoding", b"binary").strip().lower()
    if coding not in _DECODERS:
        raise MalformedBody("The Content-Transfer-Encoding of a part is unknown.")
    # A part of several parts holds files.
    is_multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/")
    is_file = is_multipart or not options.keys().isdisjoint((b"filename", b"filename*"))
    return Part(options[b"name"], _DECODERS[coding](content), is_file)


def _parse_headers(head: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b" ", head).split(b"\r\n"):
        if line:
            header = _HEADER.fullmatch(line)
            if header is None or header[1].lower() in headers:
                raise MalformedBody
            headers[header[1].lower()] = header[2]
    return headers


def _parse_options(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The value of a header in lower case, and its parameters. Errors: MalformedBody."""
    found = _VALUE.match(header)
    if found is None:
        return b"", {}
    value, position, options = found[1].lower(), found.end(), dict[bytes, bytes]()
    while parameter := _PARAMETER.match(header, position):
        name = parameter[1].lower()
        if name in options:
            raise MalformedBody
        quoted = parameter[2]
        options[name] = parameter[3] if quoted is None else _ESCAPED_QUOTE.sub(rb"\1", quoted)
        position = parameter.end()
    if not _END.fullmatch(header, position):
        raise MalformedBody
    return value, options


def _from_base64(content: bytes) -> bytes:
    try:
        return base64.b64decode(content.translate(None, b" \t\r\n"), validate=True)
    except ValueError:
        raise MalformedBody("A part is not valid base64.") from None


_DECODERS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = {
    **dict.fromkeys((b"7bit", b"8bit", b"binary"), bytes),
    b"base64": _from_base64,
    b"quoted-printable": a2b_qp,
}
