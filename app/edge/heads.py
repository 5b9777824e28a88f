"""Checks the head of a request, beyond what the parser checks."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

import httptools

from app.errors import MalformedRequest, Problem, UnknownCoding, UnknownMethod

_VERSIONS: Final = (b" HTTP/1.1", b" HTTP/1.0")
_HOST: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::([0-9]*))?"
)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_LONGEST_HOST: Final = 300
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A request line up to any of its characters.
_REQUEST_LINE: Final = re.compile(
    _TOKEN + rb"(?: [^\r\n]*(?: HTTP/[0-9]\.[0-9]\r?(?:\n.*)?)?)?", re.DOTALL
)


def check_head(head: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a body in chunks follows. Errors: MalformedRequest, UnknownCoding."""
    end = head.find(b"\r\n")
    if not head.endswith(_VERSIONS, 0, end):
        raise MalformedRequest("The request line must end with HTTP/1.1 or HTTP/1.0.")
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts != 1 and (hosts or head.endswith(b"1.1", 0, end)):
        raise MalformedRequest("The request must have exactly one Host header.")
    if hosts and not is_host(headers[names.index(b"host")][1]):
        raise MalformedRequest("The Host header is not a host with an optional port.")
    if b"transfer-encoding" not in names:
        return False
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    *others, last = [coding.strip().lower() for coding in b",".join(codings).split(b",")]
    if last != b"chunked":
        raise MalformedRequest("The last transfer coding must be chunked.")
    if others:
        raise UnknownCoding
    return True


def split_target(target: bytes, method: bytes) -> tuple[bytes, bytes]:
    """The host of an absolute target, and the rest of it (RFC 9112, 3.2.2 and 3.2.4).

    Errors: MalformedRequest.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not is_host(found[1]):
        raise MalformedRequest("The request target is neither a path nor an http or https URL.")
    host, rest = found.groups()
    if not rest and method == b"OPTIONS":
        return host, b"*"
    return host, rest if rest.startswith(b"/") else b"/" + rest


def is_host(value: bytes) -> bool:
    """Whether it is a host with an optional port (RFC 9110, 7.2)."""
    return len(value) <= _LONGEST_HOST and _is_host(value)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    found = _HOST.fullmatch(value)
    if found is None:
        return False
    ipv6, port = found.groups()
    try:
        return (not ipv6 or bool(IPv6Address(ipv6.decode()))) and int(port or 0) < 65_536
    except ValueError:
        return False


def refused_by_parser(error: httptools.HttpParserError, head: bytes) -> Problem:
    """What is wrong with a request of which `head` has arrived."""
    unknown = isinstance(error, httptools.HttpParserInvalidMethodError)
    # Methods of protocols such as RTSP are known to the parser.
    if (unknown or str(error).startswith("Invalid method")) and _REQUEST_LINE.fullmatch(head):
        return UnknownMethod()
    # The parser wraps what its callbacks raise.
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    return cause if isinstance(cause, Problem) else MalformedRequest()
