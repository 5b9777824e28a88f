"""Responses of exports: streamed from the database as fast as the client reads."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from pydantic import MISSING
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.api.arguments import repeatable
from app.api.negotiation import accepts_gzip, weights_of
from app.api.requests import header_values
from app.api.sessions import replicas_of
from app.errors import Fault, InvalidRequest, Problem
from app.postgres.copies import Copies
from app.postgres.failures import problem_of
from app.resources.exports import ONLY_CSV, Export, ExportQuery, Format, start_gzip

MEDIA_TYPES: Final[dict[Format, str]] = {"ndjson": "application/x-ndjson", "csv": "text/csv"}


@repeatable
async def get_accepted_format(request: Request) -> Format:
    """The format that Accept asks for: `csv` if it gives it more weight than `ndjson`."""
    weights = weights_of(",".join(header_values(request, b"accept")))
    csv, ndjson = (weights.get(MEDIA_TYPES[each], 0) for each in ("csv", "ndjson"))
    return "csv" if csv > ndjson else "ndjson"


AcceptedFormatDep = Annotated[Format, Depends(get_accepted_format)]


def chosen_format(query: ExportQuery, accepted: Format) -> Format:
    """The format of an export; the query's own goes first. Errors: InvalidRequest."""
    chosen = accepted if query.format is MISSING else query.format
    if query.spreadsheet and chosen != "csv":
        fault = Fault(parameter="spreadsheet", code="invalid_format", detail=ONLY_CSV)
        raise InvalidRequest(errors=[fault])
    return chosen


def exported(rows: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an export."""
    content = {name: {"schema": {"type": "string"}} for name in MEDIA_TYPES.values()}
    return {200: {"description": f"All {rows} that the filters let through", "content": content}}


class ExportResponse(Response):
    """Begins when the first rows are there, so that a failure before that is a problem. A failure
    after that breaks the connection, so that no part passes for the whole.
    """

    def __init__(self, export: Export, request: Request) -> None:
        self._export = export
        self._copies: Copies = request.app.state.copies
        replicas = replicas_of(request)
        self._replica = None if replicas is None else replicas.driver
        headers = {
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f'attachment; filename="{export.name}.{export.format}"',
            "Vary": "Accept, Accept-Encoding",
        }
        self._gzip: Any = None
        if accepts_gzip(",".join(header_values(request, b"accept-encoding"))):
            headers["Content-Encoding"] = "gzip"
            self._gzip = start_gzip()
        super().__init__(headers=headers, media_type=MEDIA_TYPES[export.format])
        del self.headers["content-length"]
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["state"].get("is_head"):
            await self._write(b"", send, is_last=True)
            return
        await Request(scope, receive).body()  # what comes after it is that the client leaves
        writing = asyncio.create_task(self._write_all(send))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                raise ClientDisconnect
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.wait({writing, leaving})
        self._raise_failure(writing, scope)

    def _raise_failure(self, writing: asyncio.Task[None], scope: Scope) -> None:
        """Errors: a Problem if the client can still get it; else what made the export fail."""
        error = writing.exception()
        if error is None:
            return
        problem = error if isinstance(error, Problem) else problem_of(error)
        if problem is None:
            raise error
        if not self._has_begun:
            raise problem from error
        scope["state"]["problem"] = problem.code  # for the log and the metrics
        raise error

    async def _write_all(self, send: Send) -> None:
        await self._export.write(
            self._copies, lambda piece: self._write(piece, send), self._replica
        )
        await self._write(b"", send, is_last=True)

    async def _write(self, piece: bytes, send: Send, *, is_last: bool = False) -> None:
        if not self._has_begun:
            self._has_begun = True
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
        if self._gzip is not None:
            work = self._gzip.flush if is_last else self._gzip.compress
            # In a thread: a piece takes milliseconds, in which others would wait.
            piece = await asyncio.to_thread(work, *(() if is_last else (piece,)))
        if piece or is_last:
            await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
