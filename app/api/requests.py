"""Reads the body of a request by its media type."""

import asyncio
import re
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from app.api.bodies.forms import parse_multipart, parse_urlencoded
from app.api.bodies.json_text import parse_batch, parse_json
from app.api.bodies.values import OTHER_ID
from app.errors import MalformedBody, UnsupportedMediaType

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
PATCH_TYPES = (MERGE_PATCH, JSON)
# Bytes. A larger body is parsed in a thread, so that others need not wait for it.
LARGE_BODY: Final = 2**20
MAX_BATCH_FAULTS: Final = 1000
# The beginning of an object or array, also escaped. No field has such a name.
_JSON_TEXT = re.compile(rb"\s*(?:[\[{]|%5[Bb]|%7[Bb])")


class ParsedRequest(Request):
    """A request whose body was parsed before, for FastAPI, which would parse it its own way."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, request.receive)
        self._body = request._body

    @property
    def headers(self) -> Headers:
        headers = super().headers.mutablecopy()
        headers["content-type"] = JSON  # whatever it was, `json` has what it held
        return headers

    async def body(self) -> bytes:
        return self._body or b"{}"  # FastAPI takes an empty body, such as a form, for none

    async def json(self) -> Any:
        return self.scope["parsed_body"]


async def parse_body(request: Request, media_types: tuple[str, ...]) -> Any:
    """The parsed body. Errors: MalformedBody, UnsupportedMediaType."""
    raw, media_type, content_type = await _read_body(request, media_types)
    if media_type == FORM:
        if _JSON_TEXT.match(raw):  # `curl -d` sends any text as a form unless it is told otherwise
            raise UnsupportedMediaType(
                f"The body is JSON, but its Content-Type is {FORM}. Send Content-Type: {JSON}."
            )
        return parse_urlencoded(raw)
    if media_type == MULTIPART:
        return parse_multipart(raw, content_type)
    return parse_json(raw)


async def parse_batch_body(request: Request) -> Any:
    """The parsed body of a batch. Errors: MalformedBody, UnsupportedMediaType."""
    state, settings = request.scope["state"], request.scope["app"].state.settings
    state["max_body_size"] = settings.max_batch_body_size
    state["max_faults"] = MAX_BATCH_FAULTS
    raw, *_ = await _read_body(request, (JSON,))
    request._body = b""  # it is large, and nobody reads it again
    if len(raw) <= LARGE_BODY:
        return parse_batch(raw)
    return await asyncio.to_thread(parse_batch, raw)


async def _read_body(request: Request, media_types: tuple[str, ...]) -> tuple[bytes, str, str]:
    """The body, its media type and its Content-Type.

    Errors: MalformedBody, UnsupportedMediaType.
    """
    raw = await _receive_body(request)
    if codings := header_values(request, b"content-encoding"):
        _refuse_encoded(codings, media_types)
    content_types = header_values(request, b"content-type")
    if not content_types:
        if raw:
            raise _unsupported(media_types)
        raise MalformedBody("The body is empty.")
    media_type = content_types[0].partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise _unsupported(media_types)
    return raw, media_type, content_types[0]


def header_values(request: Request, name: bytes) -> list[str]:
    """The values of a header; its name in lower case. Starlette's `Headers` takes six times as
    long.
    """
    return [value.decode("latin-1") for each, value in request.scope["headers"] if each == name]


async def _receive_body(request: Request) -> bytes:
    """What `request.body()` returns, also later; it takes three times as long."""
    pieces = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    request._body = b"".join(pieces)
    return request._body


def _refuse_encoded(values: list[str], media_types: tuple[str, ...]) -> None:
    codings = ",".join(values).lower().split(",")
    if any(coding.strip() not in ("", "identity") for coding in codings):
        problem = _unsupported(media_types, "This operation takes a body without Content-Encoding.")
        problem.headers["Accept-Encoding"] = "identity"
        raise problem


def _unsupported(media_types: tuple[str, ...], detail: str | None = None) -> UnsupportedMediaType:
    headers = {"Accept-Patch": ", ".join(media_types)} if MERGE_PATCH in media_types else {}
    return UnsupportedMediaType(
        detail or f"This operation takes {', '.join(media_types)}.", headers=headers
    )


def refuse_other_id(parsed: Any, path_id: str | None) -> None:
    """Refuse an `id` in the body that is not that of the path, together with the other faults.

    path_id: None if the body of the operation has no `id`.
    """
    if path_id is None or not isinstance(parsed, dict):
        return
    given = parsed.get("id")
    if isinstance(given, str) and given.lower() != path_id.lower():
        parsed["id"] = OTHER_ID
