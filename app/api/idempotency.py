"""Idempotency-Key: a repeated POST has its effect once and is given its first answer again."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from app.api.idempotency_keys import Answer, Attempt, claim, keep
from app.errors import Fault, MalformedHeader
from app.postgres.statements import Session, Statements

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
# The principal of who has no credentials.
ANONYMOUS = "anonymous"
_KEPT_HEADERS = ("cache-control", "etag", "location")


@dataclass(frozen=True, slots=True)
class Keyed:
    """The statements of a request that has a key."""

    statements: Statements
    attempt: Attempt


async def get_keyed_statements(request: Request) -> Statements | Keyed:
    """Single statements; of a request that has a key they know it."""
    statements: Statements = request.app.state.statements
    attempt = _attempt_of(request)
    return statements if attempt is None else Keyed(statements, attempt)


KeyedStatementsDep = Annotated[Session, Depends(get_keyed_statements)]


def answered_once(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    """The endpoint of a POST, whose `session` must be a KeyedStatementsDep.

    It runs when the request is found valid. With a key it runs in a transaction, in which its
    answer is stored too. Whatever is not a success raises, so the transaction forgets the key.
    """

    @wraps(endpoint)
    async def answer(*args: Any, session: Statements | Keyed, **kwargs: Any) -> Response:
        if not isinstance(session, Keyed):
            return await endpoint(*args, session=session, **kwargs)
        async with session.statements.begin() as transaction:
            stored = await claim(transaction, session.attempt)
            if stored is not None:
                headers = {**stored.headers, "Idempotency-Replayed": "true"}
                return Response(stored.body, stored.status, headers, "application/json")
            response = await endpoint(*args, session=transaction, **kwargs)
            headers = {name: response.headers[name] for name in _KEPT_HEADERS}
            kept = Answer(response.status_code, headers, bytes(response.body))
            await keep(transaction, session.attempt, kept)
        return response

    return answer


def _attempt_of(request: Request) -> Attempt | None:
    """The keyed request that this is; None: it has no key. Errors: MalformedHeader."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        detail = "Must be given once, as 1 to 255 printable ASCII characters."
        fault = Fault(header="Idempotency-Key", code="invalid_format", detail=detail)
        raise MalformedHeader(errors=[fault])
    principal = request.scope["state"].get("principal", ANONYMOUS)
    return Attempt(principal, request.scope["path"], keys[0], _fingerprint(request))


def _fingerprint(request: Request) -> bytes:
    """Equal for the same fields and query, however they were written: not of the bytes."""
    query = sorted(request.query_params.multi_items())
    asked = json.dumps([query, request.scope["parsed_body"]], sort_keys=True, default=str)
    return blake2b(asked.encode(), digest_size=32).digest()
