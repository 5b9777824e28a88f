"""`?validate_only=true`: a write that is carried out and undone, for what it would be answered."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Final, get_args

from fastapi import Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.postgres.sessions import begin_with, undo
from app.resources.fields import Flag

NAME: Final = "validate_only"
# They are of a resource that is stored.
_LEFT_OUT: Final = frozenset({b"etag", b"location"})


class WriteQuery(BaseModel):
    """How a write is carried out."""

    validate_only: Annotated[
        Flag,
        Field(
            description="Check all of the request, also in the database, and store nothing. The "
            "response is that of the request, but 200 instead of 201, and without its ETag and "
            "Location. An Idempotency-Key is ignored"
        ),
    ] = False


def validatable(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    """The endpoint of a write, which takes `validate_only` too. It must have the parameter
    `session`, and may have a WriteQuery of its own.

    It runs in a transaction that is rolled back, so that the database checks everything.
    """
    signature = inspect.signature(endpoint, eval_str=True)
    own = [name for name, one in signature.parameters.items() if _is_write_query(one.annotation)]
    name = own[0] if own else "write_query"

    @wraps(endpoint)
    async def respond(*, session: AsyncSession, **kwargs: Any) -> Response:
        query: WriteQuery = kwargs[name] if own else kwargs.pop(name)
        if not query.validate_only:
            return await endpoint(session=session, **kwargs)
        await begin_with(session, _nothing)
        response = await endpoint(session=session, **kwargs)
        await undo(session)
        if response.status_code == 201:
            response.status_code = 200
        response.raw_headers = [
            header for header in response.raw_headers if header[0] not in _LEFT_OUT
        ]
        return response

    if not own:
        query = inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[WriteQuery, Query()]
        )
        signature = signature.replace(parameters=[*signature.parameters.values(), query])
    vars(respond)["__signature__"] = signature
    return respond


def is_validation(arguments: Mapping[str, Any]) -> bool:
    """Whether a request with these arguments only asks what it would be answered."""
    return any(isinstance(one, WriteQuery) and one.validate_only for one in arguments.values())


async def _nothing() -> None:
    """The transaction begins with the first statement."""


def _is_write_query(annotation: Any) -> bool:
    schema = next(iter(get_args(annotation)), None)
    return isinstance(schema, type) and issubclass(schema, WriteQuery)
