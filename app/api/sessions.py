"""The session of a request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.requests import header_values
from app.postgres.replicas import Replicas
from app.postgres.sessions import request_session


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """The session of this request.

    What it begins is committed when the route has returned and before the response is sent, so
    that a commit that fails is no success; and rolled back when the route raises.
    """
    async with request_session(request.app.state.statements, replicas_of(request)) as session:
        yield session


def replicas_of(request: Request) -> Replicas | None:
    """The replicas that may answer a request; None: there are none, or it wants none."""
    replicas: Replicas | None = request.app.state.replicas
    if replicas is None:
        return None
    directives = ",".join(header_values(request, b"cache-control")).lower().split(",")
    return None if "no-cache" in map(str.strip, directives) else replicas


# FastAPI's default scope would commit after the response.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
