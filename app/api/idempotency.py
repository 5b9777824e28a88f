"""Idempotency-Key: a repeated POST takes effect once and gets its first response again."""

import inspect
import re
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.arguments import repeatable
from app.api.idempotency_keys import Attempt, StoredResponse, claim, keep
from app.api.requests import header_values
from app.api.validate_only import is_validation
from app.errors import Fault, MalformedHeader
from app.postgres.sessions import begin_with
from app.postgres.turns import Turns
from app.resources.batches import Batch
from app.resources.canonical import canonical

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
# The principal of requests without credentials.
ANONYMOUS = "anonymous"
# Of fingerprints. It must change whenever they are made in another way.
FORMAT = b"\x02"
_KEPT_HEADERS = frozenset({"cache-control", "etag", "location"})


@repeatable
async def get_attempt(request: Request) -> Attempt | None:
    """The request as its key identifies it; None: it has none, or is not carried out.

    Errors: MalformedHeader.
    """
    keys = header_values(request, b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        detail = "Must be given once, as 1 to 255 printable ASCII characters."
        fault = Fault(header="Idempotency-Key", code="invalid_format", detail=detail)
        raise MalformedHeader(errors=[fault])
    if is_validation(request.scope["taken"][0]):
        return None
    owner = request.scope["state"].get("owner", ANONYMOUS)
    return Attempt(owner, request.scope["path"], keys[0], await _fingerprint(request))


def idempotent(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    """The endpoint of a POST, which takes a key too. It must have the parameter `session`.

    With a key it runs in a transaction, in which its response is stored as well. Whatever is not a
    success raises, so that the transaction forgets the key. What it awaits besides the database
    belongs in `outside_transaction`.
    """

    @wraps(endpoint)
    async def respond(
        *args: Any, session: AsyncSession, attempt: Attempt | None, **kwargs: Any
    ) -> Response:
        if attempt is None:
            return await endpoint(*args, session=session, **kwargs)
        try:
            await begin_with(session, partial(_claim, session, attempt))
            response = await endpoint(*args, session=session, **kwargs)
        except _Replay as replay:
            stored = replay.stored
            headers = {**stored.headers, "Idempotency-Replayed": "true"}
            media_type = "application/json" if stored.body else None
            return Response(stored.body, stored.status, headers, media_type)
        headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
        kept = StoredResponse(response.status_code, headers, bytes(response.body))
        await keep(session, attempt, kept)
        return response

    signature = inspect.signature(endpoint, eval_str=True)
    if "session" not in signature.parameters:
        raise TypeError(f"{endpoint}: a POST needs the parameter session")
    attempt = inspect.Parameter(
        "attempt",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Attempt | None, Depends(get_attempt)],
    )
    parameters = [*signature.parameters.values(), attempt]
    vars(respond)["__signature__"] = signature.replace(parameters=parameters)
    return respond


class _Replay(Exception):
    """The request has a response already. The endpoint may learn this while it is running."""

    def __init__(self, stored: StoredResponse) -> None:
        super().__init__()
        self.stored = stored


async def _claim(session: AsyncSession, attempt: Attempt) -> None:
    stored = await claim(session, attempt)
    if stored is not None:
        raise _Replay(stored)


async def _fingerprint(request: Request) -> bytes:
    """Equal for the same values as the schemas took them, however they were written."""
    arguments, *others = request.scope["taken"]
    rows: list[Any] = []
    for name, value in arguments.items():
        if isinstance(value, Batch):
            arguments = {**arguments, name: None}
            rows = value.data
    digest = blake2b(canonical([arguments, *others]), digest_size=32)
    turns = Turns()
    for row in rows:
        await turns.give()
        digest.update(canonical(row))
    return FORMAT + digest.digest()
