"""Responses of resources: serialized once, from rows as the database gave them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote_plus

from fastapi import Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.problems import as_uri
from app.resources.batch_writes import Found
from app.resources.imports import Report
from app.resources.lists import Rows
from app.resources.preconditions import Precondition

_CACHE = (b"cache-control", b"private, no-cache")
_JSON = (b"content-type", b"application/json")
# The characters that a query may contain (RFC 3986, 3.4). `%` begins what is escaped already.
_QUERY_CHARACTERS = "%!$&'()*+,;=:@/?"


class _JsonResponse(Response):
    """JSON with its headers as they are sent. Starlette takes 4 µs to encode and search them."""

    def __init__(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [*headers, (b"content-length", b"%d" % len(body)), _JSON]


class Json:
    """Writes one type as JSON responses."""

    def __init__(self, schema: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(schema)

    def resource(
        self,
        resource: Any,
        *,
        created_by: Request | None = None,
        condition: Precondition | None = None,
    ) -> Response:
        """A resource with its ETag: 200, 201 with its Location where it was `created_by` a request
        to the list that it belongs to, or 304 where the condition of a read excludes this version.
        Errors: StaleVersion.
        """
        version = resource["version"]
        etag = (b"etag", b'"%d"' % version)
        if condition is not None:
            condition.require_version(version)
            if condition.excludes(version):
                response = Response(status_code=304)
                response.raw_headers = [_CACHE, etag]
                return response
        body = self._adapter.dump_json(resource)
        if created_by is None:
            return _JsonResponse(body, 200, _CACHE, etag)
        address = as_uri(f"{created_by.scope['path']}/{resource['id']}")
        return _JsonResponse(body, 201, _CACHE, etag, (b"location", address.encode()))

    def link(self, link: Any, *, is_new: bool = False) -> Response:
        """A link, which has no ETag: 200, or 201 where it is new."""
        return _JsonResponse(self._adapter.dump_json(link), 201 if is_new else 200, _CACHE)


def batch_response(rows: Sequence[str], *, created: bool = False) -> Response:
    """The rows that a batch has written, from their JSON texts."""
    return _JsonResponse(f'{{"data":[{",".join(rows)}]}}'.encode(), 201 if created else 200, _CACHE)


def found_response(found: Found) -> Response:
    """The rows that a batch has found, and the ids that it has not."""
    missing = ",".join(f'"{row_id}"' for row_id in found.missing)
    body = f'{{"data":[{",".join(found.rows)}],"missing":[{missing}]}}'
    return _JsonResponse(body.encode(), 200, _CACHE)


def report_response(report: Report) -> Response:
    """What an import did."""
    return _JsonResponse(to_json(asdict(report)), 200, _CACHE)


def page_response(rows: Rows, request: Request) -> Response:
    """A page of a list, with the address of the next one as a Link header."""
    headers = [_CACHE]
    if rows.next_cursor is not None:
        query = _without_cursor(request.scope["query_string"].decode("latin-1"))
        target = f"{as_uri(request.scope['path'])}?{query}cursor={rows.next_cursor}"
        headers.append((b"link", f'<{target}>; rel="next"'.encode()))
    cursor = "null" if rows.next_cursor is None else f'"{rows.next_cursor}"'
    count = "null" if rows.count is None else rows.count
    body = f'{{"data":[{rows.text}],"next_cursor":{cursor},"count":{count}}}'
    return _JsonResponse(body.encode(), 200, *headers)


def _without_cursor(query: str) -> str:
    """The other parameters of a query, as they were written, each followed by `&`."""
    kept = (
        part
        for part in query.split("&")
        if part and unquote_plus(part.partition("=")[0]) != "cursor"
    )
    return "".join(f"{quote(part, safe=_QUERY_CHARACTERS)}&" for part in kept)


def made(schema: Any) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a PUT that may make what it puts."""
    return {201: {"description": "Made", "model": schema}}


def no_content() -> Response:
    return Response(status_code=204)
