"""Receives a file of rows and checks it before anything is written.

The file goes to disk, so that a client that sends slowly holds neither memory nor a connection to
the database. It is checked in a thread, which pauses so that other requests need not wait.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from tempfile import TemporaryFile
from time import perf_counter, sleep
from typing import IO, Annotated, Any, Final

import structlog
from fastapi import Depends, Request
from pydantic import Field

from app.api.arguments import repeatable
from app.api.exports import MEDIA_TYPES
from app.api.imports.records import Form, counted, lines_of, read_rows, unzipped
from app.api.imports.rows import RowChecker, columns_of, required_of
from app.api.requests import header_values
from app.api.validate_only import WriteQuery
from app.config import Settings
from app.errors import Fault, InvalidRequest, MissingScope, Overloaded, UnsupportedMediaType
from app.resources.fields import Flag
from app.resources.imports import MAX_FAULTS, Importable, OnConflict, OnError, Options, Upload
from app.telemetry.request_counters import RequestCounters

log = structlog.get_logger("satchel.imports")

_FORMATS: Final = {media_type: each for each, media_type in MEDIA_TYPES.items()}
_PIECE: Final = 2**16
# The thread that checks rows keeps the interpreter for so long, though others wait for it.
_HOLD_SECONDS: Final = 0.0001
# Then, if there are other requests, it leaves it to them for so long.
_PAUSE_SECONDS: Final = 0.0003


class ImportQuery(WriteQuery):
    """How rows are imported."""

    on_conflict: Annotated[
        OnConflict, Field(description="What happens to rows that are there already")
    ] = "fail"
    on_error: Annotated[
        OnError, Field(description="`skip` stores the good rows; `fail` all or none")
    ] = "fail"
    keep_ids: Annotated[
        Flag,
        Field(description="New rows get `id`, `created` and `updated` of the file (scope `admin`)"),
    ] = False
    spreadsheet: Annotated[
        Flag, Field(description="Of CSV: take off the `'` before what would be a formula")
    ] = False

    @property
    def options(self) -> Options:
        return Options(self.on_conflict, self.keep_ids, self.on_error == "skip")


@repeatable
async def get_import_timeout(request: Request) -> float:
    settings: Settings = request.app.state.settings
    return settings.import_timeout


ImportTimeoutDep = Annotated[float, Depends(get_import_timeout)]


class UploadSlots:
    """How many uploads may be received and written at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        # Of these, how many are being checked.
        self.checking = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Errors: Overloaded."""
        if self._taken >= self._limit:
            raise Overloaded
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Uploads:
    """The dependency that gives a route its upload; the route has the parameter `query`."""

    def __init__(self, importable: Importable[Any]) -> None:
        self.importable = importable
        repeatable(self)  # its file may be read again

    async def __call__(self, request: Request) -> AsyncIterator[Upload]:
        """Errors: UnsupportedMediaType, MissingScope, BodyTooLarge, MalformedBody, Overloaded, and
        InvalidRequest for other columns.
        """
        settings, state = request.app.state.settings, request.scope["state"]
        query: ImportQuery = request.scope["taken"][0]["query"]
        if query.keep_ids and "admin" not in state.get("scopes", ("admin",)):
            raise MissingScope("admin")
        form, is_zipped = _form_of(request, is_spreadsheet=query.spreadsheet)
        state |= {
            "max_body_size": settings.max_import_size,
            "max_faults": MAX_FAULTS,
            "is_upload": True,
        }
        slots: UploadSlots = request.app.state.upload_slots
        counters: RequestCounters = request.app.state.counters
        body = request.stream()
        first = await anext(body)
        with slots.take(), TemporaryFile() as spooled, TemporaryFile() as staged:
            digest = await _spool(first, body, spooled)
            # What Idempotency-Key compares.
            request.scope["taken"].append([digest, form.format, is_zipped])
            checking = _Checking(
                self.importable,
                form,
                staged,
                keeps_ids=query.keep_ids,
                have_others=lambda: counters.in_flight > slots.checking,
            )
            pieces: Iterator[bytes] = iter(partial(spooled.read, _PIECE), b"")
            if is_zipped:
                pieces = unzipped(pieces)
            slots.checking += 1
            try:
                await _in_thread(checking, counted(pieces, settings.max_import_size))
            finally:
                slots.checking -= 1
            yield checking.upload


def _form_of(request: Request, *, is_spreadsheet: bool) -> tuple[Form, bool]:
    """The form of a file, and whether it is zipped.

    Errors: UnsupportedMediaType, InvalidRequest.
    """
    types = header_values(request, b"content-type")
    media_type = types[0].partition(";")[0].strip().lower() if types else ""
    if media_type not in _FORMATS:
        raise UnsupportedMediaType(f"This operation takes {', '.join(_FORMATS)}.")
    codings = [
        coding.strip().lower()
        for value in header_values(request, b"content-encoding")
        for coding in value.split(",")
        if coding.strip().lower() not in ("", "identity")
    ]
    if codings not in ([], ["gzip"], ["x-gzip"]):
        headers = {"Accept-Encoding": "gzip, identity"}
        detail = "This operation takes a body with Content-Encoding gzip or without."
        raise UnsupportedMediaType(detail, headers=headers)
    form = Form(_FORMATS[media_type], is_spreadsheet)
    if is_spreadsheet and form.format != "csv":
        detail = "Only CSV is for spreadsheets."
        fault = Fault(parameter="spreadsheet", code="invalid_format", detail=detail)
        raise InvalidRequest(errors=[fault])
    return form, bool(codings)


async def _spool(first: bytes, rest: AsyncIterator[bytes], file: IO[bytes]) -> str:
    """The digest of a body that was written to a file. Errors: Overloaded, if the disk is full."""
    digest = blake2b(first, digest_size=32)
    try:
        file.write(first)
        async for piece in rest:
            digest.update(piece)
            file.write(piece)
        file.seek(0)
    except OSError as error:
        log.warning("upload not spooled", error=error.strerror)
        raise Overloaded from error
    return digest.hexdigest()


class _Checking:
    """Checks a file, and stages its good rows in another."""

    def __init__(
        self,
        importable: Importable[Any],
        form: Form,
        staged: IO[bytes],
        *,
        keeps_ids: bool,
        have_others: Callable[[], bool],
    ) -> None:
        """have_others: whether there are requests that are not being checked like this."""
        self._importable = importable
        self._form = form
        self._keeps_ids = keeps_ids
        self._have_others = have_others
        self.upload = Upload(staged)
        self.is_stopped = False

    def run(self, pieces: Iterator[bytes]) -> None:
        """Errors: BodyTooLarge, MalformedBody, InvalidRequest for other columns."""
        importable, upload = self._importable, self.upload
        form, rows = read_rows(
            lines_of(pieces), self._form, columns_of(importable), required_of(importable)
        )
        check = RowChecker(importable, form, keeps_ids=self._keeps_ids).check
        since = perf_counter()
        for number, source in enumerate(rows, 1):
            checked = check(number, source)
            if isinstance(checked, bytes):
                upload.staged.write(checked)
            else:
                upload.rejected += 1
                upload.faults += checked[: MAX_FAULTS - len(upload.faults)]
            upload.rows = number
            if perf_counter() - since > _HOLD_SECONDS:
                if self.is_stopped:
                    return
                sleep(_PAUSE_SECONDS if self._have_others() else 0)
                since = perf_counter()


async def _in_thread(checking: _Checking, pieces: Iterator[bytes]) -> None:
    """The thread has ended when this returns or raises. Its files may be closed then."""
    work = asyncio.ensure_future(asyncio.to_thread(checking.run, pieces))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        checking.is_stopped = True
        await asyncio.wait([work])
        raise
    except OSError as error:
        log.warning("upload not spooled", error=error.strerror)
        raise Overloaded from error
